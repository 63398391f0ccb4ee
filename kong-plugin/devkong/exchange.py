"""One request on its way through the gateway: the data that plugins read, set and share."""

import secrets
from typing import Any

from devkong.config.entities import Route
from devkong.error_page import ErrorPages
from devkong.http.headers import Headers
from devkong.http.server import ClientConnection, InboundRequest
from devkong.request_body import RequestBody
from devkong.settings import Settings
from devkong.uri import normalize, path_of, query_of


class ResponseExit(Exception):
    """A plugin or an error page has answered: the request goes no further."""


class Exchange:
    """A request, its answer so far, and the tables that Lua keeps for it."""

    def __init__(
        self,
        request: InboundRequest,
        connection: ClientConnection,
        settings: Settings,
        error_pages: ErrorPages,
    ) -> None:
        self.request = request
        self.error_pages = error_pages
        self.id = secrets.token_hex(16)
        self.method = request.method
        self.headers = request.headers
        self.target = _origin_form(request.target)
        self.raw_path = path_of(self.target)
        self.path = normalize(self.raw_path)
        self.query = query_of(self.target)
        self.body = RequestBody(request, connection, settings)
        self.scheme = b"http"
        self.http_version = 1.1 if request.minor_version else 1.0
        self.client_ip = request.client_ip.encode()

        self.route: Route | None = None
        self.forwarded: dict[bytes, bytes] = {}
        self.upstream_scheme = b""
        self.upstream_host = b""
        self.upstream_path = b""

        self.lua: Any = None
        self.plugin_id = ""
        """The plugin that runs now."""

        self.status = 0
        self.reason = b""
        self.answer = Headers()
        self.own_body = b""
        """The body of an answer that is not the upstream's."""
        self.source = b"error"
        """The answer's origin: service (the upstream), exit (a plugin) or error."""
        self.proxied_at = 0.0

    @property
    def host(self) -> bytes:
        """The request's host without its port, in lower case: nginx's $host."""
        host = self.headers.get(b"host") or b""
        if host.startswith(b"["):
            return host.partition(b"]")[0].lower() + b"]"
        return host.partition(b":")[0].lower()

    @property
    def consumer_id(self) -> bytes | None:
        """The consumer that a plugin has authenticated."""
        consumer = self.lua and self.lua[b"ngx"][b"authenticated_consumer"]
        found = consumer and consumer[b"id"]
        return found if isinstance(found, bytes) else None

    def end(self, status: int, content_type: bytes, body: bytes) -> ResponseExit:
        """Make the gateway's own answer, and return the exception that ends the request."""
        self.source, self.status, self.own_body = b"error", status, body
        self.answer.set(b"Content-Type", [content_type])
        return ResponseExit()


def _origin_form(target: bytes) -> bytes:
    # a client may send the absolute form to a proxy (RFC 9112, 3.2.2)
    if target.startswith((b"http://", b"https://")):
        _, slash, path = target.split(b"//", 1)[1].partition(b"/")
        return slash + path if slash else b"/"
    return target
