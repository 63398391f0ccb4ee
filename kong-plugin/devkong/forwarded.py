"""The head of the request to the upstream: Kong's own headers, then the client's."""

import h11

from devkong.exchange import Exchange
from devkong.http.headers import comma_list
from devkong.router import Match
from devkong.uri import escape, path_of, upstream_path

_VIA = b"kong/3.9.1"

# nginx's proxy_set_header and Kong's runloop replace or drop these
_REPLACED = frozenset(
    b"te via host upgrade connection x-forwarded-for x-forwarded-proto x-forwarded-host "
    b"x-forwarded-port x-forwarded-path x-forwarded-prefix x-real-ip x-kong-request-id "
    b"content-length transfer-encoding keep-alive expect proxy proxy-connection".split()
)


def prepare(exchange: Exchange, match: Match) -> None:
    """Set the route and the forwarded headers."""
    route = exchange.route = match.route
    prefix = match.path if route.strip_path else None
    sent_for = exchange.headers.get(b"x-forwarded-for")
    values = {
        b"X-Forwarded-For": b"%s, %s" % (sent_for, exchange.client_ip)
        if sent_for
        else exchange.client_ip,
        b"X-Forwarded-Proto": exchange.scheme,
        b"X-Forwarded-Host": exchange.host,
        b"X-Forwarded-Port": b"%d" % exchange.request.server_port,
        b"X-Forwarded-Path": path_of(exchange.target),
        b"X-Forwarded-Prefix": prefix if prefix and prefix != b"/" else b"",
    }
    # nginx sends no header whose value is empty
    exchange.forwarded = {name: value for name, value in values.items() if value}
    service = route.service
    if service is None:
        return
    exchange.upstream_scheme = service.protocol.encode()
    base = (service.path or "/").encode()
    exchange.upstream_path = escape(upstream_path(base, exchange.path, prefix, route.strip_path))
    usual_port = 443 if service.protocol == "https" else 80
    port = "" if service.port == usual_port else f":{service.port}"
    exchange.upstream_host = f"{service.host}{port}".encode()
    if route.preserve_host:
        exchange.upstream_host = exchange.headers.get(b"host") or exchange.upstream_host


def request_head(exchange: Exchange, body_length: int | None, chunked: bool) -> h11.Request:
    """Return the head of the request to the upstream.

    body_length: None for no Content-Length.
    """
    target = exchange.upstream_path
    if exchange.query or exchange.target.endswith(b"?"):
        target += b"?" + exchange.query
    te, client_via = exchange.headers.get(b"te"), exchange.headers.get(b"via")
    via = b"%s %s" % (b"1.1" if exchange.request.minor_version else b"1", _VIA)
    lines = [(b"TE", b"trailers")] if te and b"trailers" in comma_list(te) else []
    lines += [
        (b"Via", b"%s, %s" % (client_via, via) if client_via else via),
        (b"Host", exchange.upstream_host),
        (b"Connection", b"keep-alive"),
        *exchange.forwarded.items(),
        (b"X-Real-IP", exchange.client_ip),
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
