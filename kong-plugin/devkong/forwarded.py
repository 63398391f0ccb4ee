"""What the upstream is sent: Kong's own headers, then the client's."""

import h11

from devkong.exchange import DEFAULT_MOST_HEADERS, Exchange
from devkong.http.headers import comma_list
from devkong.router.match import Match
from devkong.router.upstream_path import upstream_path
from devkong.router.uri import escape, path_of
from devkong.trusted_ips import is_trusted

SERVER = b"kong/3.9.1"

# nginx's proxy_set_header and Kong's runloop replace or drop these
_REPLACED = frozenset(
    b"te via host upgrade connection x-forwarded-for x-forwarded-proto x-forwarded-host "
    b"x-forwarded-port x-forwarded-path x-forwarded-prefix x-real-ip x-kong-request-id "
    b"content-length transfer-encoding keep-alive expect proxy proxy-connection".split()
)


def prepare(exchange: Exchange, match: Match, path: bytes) -> None:
    """Note route, service and what will be forwarded. path: normalised."""
    route, service = match.route, match.route.service
    exchange.route, exchange.service, exchange.captures = route, service, match.captures
    if len(match.captures) < 1:
        exchange.captures = {}
    prefix = match.path if route.strip_path else None
    _note_forwarded(exchange, prefix)
    if service is None:
        return
    exchange.upstream_scheme = service.protocol.encode()
    exchange.upstream_address = (service.host, service.port)
    base = (service.path or "/").encode()
    exchange.upstream_path = escape(upstream_path(base, path, prefix, route.strip_path))
    if route.preserve_host:
        exchange.upstream_host = exchange.headers.get(b"host") or b""


def request_head(exchange: Exchange, body_length: int | None, chunked: bool) -> h11.Request:
    """Return the head of the request to the upstream.

    body_length: None for no Content-Length.
    """
    target = exchange.upstream_path
    if exchange.query or exchange.target.endswith(b"?"):
        target += b"?" + exchange.query
    client_via = exchange.headers.get(b"via")
    via = b"%s %s" % (b"1.1" if exchange.request.minor_version else b"1", SERVER)
    lines = [(b"TE", b"trailers")] if _wants_trailers(exchange) else []
    lines += [
        (b"Via", b"%s, %s" % (client_via, via) if client_via else via),
        (b"Host", exchange.upstream_host or _host_of_service(exchange)),
        (b"Connection", b"keep-alive"),
        *exchange.forwarded.items(),
        (b"X-Real-IP", exchange.remote_addr),
        (b"X-Kong-Request-Id", exchange.id.encode()),
    ]
    if chunked:
        lines.append((b"Transfer-Encoding", b"chunked"))
    elif body_length is not None:
        lines.append((b"Content-Length", b"%d" % body_length))
    dropped = _REPLACED
    connection = exchange.headers.get(b"connection")
    if connection and connection.lower() not in (b"keep-alive", b"close"):
        dropped = _REPLACED | set(comma_list(connection))
    lines.extend((name, value) for lower, name, value in exchange.headers if lower not in dropped)
    return h11.Request(method=exchange.method, target=target, headers=lines)


def _note_forwarded(exchange: Exchange, prefix: bytes | None) -> None:
    client = exchange.headers.as_table(DEFAULT_MOST_HEADERS)

    def first(name: bytes) -> bytes | None:
        value = client.get(name)
        return value[0] if isinstance(value, list) else value

    trusted = is_trusted(exchange.settings.trusted_ips, exchange.request.client_ip)

    def believed(name: bytes, otherwise: bytes) -> bytes:
        return (first(name) if trusted else None) or otherwise

    sent_for = first(b"x-forwarded-for")
    values = {
        b"X-Forwarded-For": (
            b"%s, %s" % (sent_for, exchange.client_ip) if sent_for else exchange.remote_addr
        ),
        b"X-Forwarded-Proto": believed(b"x-forwarded-proto", exchange.scheme),
        b"X-Forwarded-Host": believed(b"x-forwarded-host", exchange.host),
        b"X-Forwarded-Port": believed(b"x-forwarded-port", b"%d" % exchange.request.server_port),
        b"X-Forwarded-Path": believed(b"x-forwarded-path", path_of(exchange.target)),
        b"X-Forwarded-Prefix": believed(
            b"x-forwarded-prefix", prefix if prefix is not None and prefix != b"/" else b""
        ),
    }
    # nginx sends no header whose value is empty
    exchange.forwarded = {name: value for name, value in values.items() if value}


def _host_of_service(exchange: Exchange) -> bytes:
    host, port = exchange.upstream_address
    usual = 443 if exchange.upstream_scheme == b"https" else 80
    return host.encode() if port == usual else b"%s:%d" % (host.encode(), port)


def _wants_trailers(exchange: Exchange) -> bool:
    te = exchange.headers.get(b"te")
    return te is not None and b"trailers" in comma_list(te)
