"""kong.node, kong.router, kong.ip, kong.ctx, kong.nginx and kong.log."""

import logging
import os
import platform
import time
import uuid
from typing import Any

from devkong.exchange import Exchange
from devkong.pdk.errors import Failure
from devkong.pdk.values import from_json_like, string, tostring
from devkong.trusted_ips import is_trusted

_NODE_ID = str(uuid.uuid4()).encode()
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": logging.INFO,
    "warn": logging.WARNING,
    "err": logging.ERROR,
    "crit": logging.CRITICAL,
    "alert": logging.CRITICAL,
    "emerg": logging.CRITICAL,
}
_log = logging.getLogger("devkong.plugin")


def node_get_id(_exchange: Exchange) -> bytes:
    """Return this process's node id."""
    return _NODE_ID


def node_get_hostname(_exchange: Exchange) -> bytes:
    """Return the machine's name."""
    return platform.node().encode()


def router_get_route(exchange: Exchange) -> Any:
    """Return the route's record."""
    return from_json_like(exchange.route.table) if exchange.route else None


def router_get_service(exchange: Exchange) -> Any:
    """Return the service's record."""
    return from_json_like(exchange.service.table) if exchange.service else None


def ip_is_trusted(exchange: Exchange, address: Any) -> bool:
    """Say whether an address is one of KONG_TRUSTED_IPS."""
    return is_trusted(exchange.settings.trusted_ips, string(address, "address").decode("latin-1"))


def shared_get(exchange: Exchange, key: Any) -> Any:
    """Return what a plugin left for the others."""
    return exchange.shared.get(key)


def shared_set(exchange: Exchange, key: Any, value: Any = None) -> None:
    """Leave something for the plugins that follow."""
    exchange.shared[key] = value


def nginx_get_ctx(exchange: Exchange, key: Any) -> Any:
    """Return a value of ngx.ctx."""
    return exchange.ngx_ctx.get(key)


def nginx_set_ctx(exchange: Exchange, key: Any, value: Any = None) -> None:
    """Set a value of ngx.ctx."""
    exchange.ngx_ctx[key] = value


def nginx_get_var(exchange: Exchange, name: Any) -> bytes | None:
    """Return an nginx variable; those that devkong does not have are nil."""
    key = string(name, "variable name")
    if key.startswith(b"http_"):
        return exchange.header(key[5:])
    if key.startswith(b"arg_"):
        return _raw_arg(exchange, key[4:])
    if key.startswith(b"upstream_x_forwarded_"):
        header = key[len(b"upstream_") :].replace(b"_", b"-").title()
        return exchange.forwarded.get(header)
    reader = _VARIABLES.get(key)
    return reader(exchange) if reader else None


def nginx_get_subsystem(_exchange: Exchange) -> bytes:
    """Return http."""
    return b"http"


def request_start_time(exchange: Exchange) -> float:
    """Return when the request came, in seconds since 1970."""
    return exchange.request.started


def log_at(level: str) -> Any:
    """Return kong.log.<level>."""
    number = _LEVELS[level]

    def log(exchange: Exchange, *words: Any) -> None:
        text = b"".join(map(tostring, words)).decode("utf-8", "replace")
        _log.log(number, "[%s] %s, client: %s", level, text, exchange.request.client_ip)

    return log


def set_serialize_value(_exchange: Exchange, *_args: Any) -> None:
    """Accepted and dropped: devkong writes no serialized log."""


def log_serialize(_exchange: Exchange) -> Failure:
    """Not supported: devkong writes no serialized log."""
    return Failure(b"devkong has no kong.log.serialize")


def _raw_arg(exchange: Exchange, name: bytes) -> bytes | None:
    for part in exchange.query.split(b"&"):
        key, equals, value = part.partition(b"=")
        if equals and key == name:
            return value
    return None


_VARIABLES: dict[bytes, Any] = {
    b"request_uri": lambda e: e.target,
    b"uri": lambda e: e.raw_path,
    b"args": lambda e: e.query,
    b"query_string": lambda e: e.query,
    b"is_args": lambda e: b"?" if e.query else b"",
    b"request_method": lambda e: e.method,
    b"scheme": lambda e: e.scheme,
    b"https": lambda _: b"",
    b"host": lambda e: e.host,
    b"remote_addr": lambda e: e.remote_addr,
    b"realip_remote_addr": lambda e: e.client_ip,
    b"remote_port": lambda e: b"%d" % e.request.client_port,
    b"server_addr": lambda e: e.request.server_ip.encode(),
    b"server_port": lambda e: b"%d" % e.request.server_port,
    b"server_protocol": lambda e: b"HTTP/1.%d" % e.request.minor_version,
    b"content_type": lambda e: e.headers.get(b"content-type"),
    b"content_length": lambda e: e.headers.get(b"content-length"),
    b"request_id": lambda e: e.id.encode(),
    b"kong_request_id": lambda e: e.id.encode(),
    b"upstream_uri": lambda e: e.upstream_path,
    b"upstream_host": lambda e: e.upstream_host,
    b"upstream_scheme": lambda e: e.upstream_scheme,
    b"status": lambda e: b"%d" % e.status,
    b"pid": lambda _: b"%d" % os.getpid(),
    b"msec": lambda _: b"%.3f" % time.time(),
    b"request_time": lambda e: b"%.3f" % (time.time() - e.request.started),
}
