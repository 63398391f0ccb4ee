"""One request on its way through the gateway: what plugins read, set and leave for each other."""

import secrets
from typing import Any

from devkong.config.entities import Route, Service
from devkong.error_page import ErrorPages
from devkong.http.headers import Headers
from devkong.http.server import ClientConnection, InboundRequest
from devkong.request_body import RequestBody
from devkong.router.uri import path_of, query_of
from devkong.settings import Settings
from devkong.trusted_ips import is_trusted

# ngx.req.get_headers() looks at a hundred lines unless told otherwise (lua_max_req_headers)
DEFAULT_MOST_HEADERS = 100


class Exchange:
    """A request, its answer so far, and nginx's and Kong's contexts."""

    def __init__(
        self,
        request: InboundRequest,
        connection: ClientConnection,
        settings: Settings,
        error_pages: ErrorPages,
    ) -> None:
        self.request = request
        self.error_pages = error_pages
        self.settings = settings
        self.id = secrets.token_hex(16)
        self.method = request.method
        self.headers = request.headers
        self.target = _origin_form(request.target)
        self.raw_path = path_of(self.target)
        self.query = query_of(self.target)
        self.body = RequestBody(request, connection, settings)
        self.scheme = b"http"

        self.route: Route | None = None
        self.service: Service | None = None
        self.captures: dict[bytes | int, bytes] = {}
        self.forwarded: dict[bytes, bytes] = {}
        self.upstream_scheme = b""
        self.upstream_host = b""
        self.upstream_address: tuple[str, int] = ("", 0)
        self.upstream_path = b""

        self.consumer: Any = None
        self.credential: Any = None
        self.shared: dict[bytes, Any] = {}
        self.ngx_ctx: dict[bytes, Any] = {}
        self.plugin_ctx: dict[str, dict[bytes, Any]] = {}
        self.plugin_id = ""

        self.status = 0
        self.reason = b""
        self.answer = Headers()
        self.source = b"error"
        self.proxied_at = 0.0

    def header(self, name: bytes) -> bytes | None:
        """Return a header's first value, as kong.request.get_header finds it.

        nginx looks up $http_x_y, so a client's X_Y answers for X-Y too.
        """
        wanted = name.lower().replace(b"-", b"_")
        found = [value for key, _, value in self.headers if key.replace(b"-", b"_") == wanted]
        if not found:
            return None
        joined = b", ".join(found)
        if b", " not in joined:
            return joined
        return self.headers.get(name.lower())

    @property
    def own_ctx(self) -> dict[bytes, Any]:
        """kong.ctx.plugin of the plugin that runs now."""
        return self.plugin_ctx.setdefault(self.plugin_id, {})

    @property
    def host(self) -> bytes:
        """The request's host without its port, in lower case: nginx's $host."""
        host = self.headers.get(b"host") or b""
        if host.startswith(b"["):
            return host.partition(b"]")[0].lower() + b"]"
        return host.partition(b":")[0].lower()

    @property
    def remote_addr(self) -> bytes:
        """The client's address: X-Real-IP, if a trusted proxy sent it."""
        if self.settings.trusted_ips and is_trusted(
            self.settings.trusted_ips, self.request.client_ip
        ):
            return self.headers.get(b"x-real-ip") or self.client_ip
        return self.client_ip

    @property
    def client_ip(self) -> bytes:
        """The address that connected."""
        return self.request.client_ip.encode()


def _origin_form(target: bytes) -> bytes:
    # a client may send the absolute form to a proxy (RFC 9112, 3.2.2)
    if target.startswith((b"http://", b"https://")):
        _, slash, path = target.split(b"//", 1)[1].partition(b"/")
        return slash + path if slash else b"/"
    return target
