"""The address of each part of the stack."""

import socket
from dataclasses import dataclass

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """TCP ports on the loopback address. The defaults are those written in kong.yml."""

    gateway: int = 8000
    public: int = 8285
    internal: int = 8286
    llm: int = 8287
    plugin_metrics: int = 8288


def url(port: int, path: str = "") -> str:
    """An http URL on the loopback address."""
    return f"http://{HOST}:{port}{path}"


def is_free(port: int) -> bool:
    """Whether nobody listens on a port now."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True


def with_free_inner_ports(gateway: int) -> Ports:
    """The gateway's port as given; the others as in kong.yml, or free ones for those in use."""
    usual, free = Ports(gateway=gateway), free_ports()
    return Ports(
        gateway=gateway,
        public=usual.public if is_free(usual.public) else free.public,
        internal=usual.internal if is_free(usual.internal) else free.internal,
        llm=usual.llm if is_free(usual.llm) else free.llm,
        plugin_metrics=(
            usual.plugin_metrics if is_free(usual.plugin_metrics) else free.plugin_metrics
        ),
    )


def free_ports() -> Ports:
    """Five ports that nobody uses now."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(5)]
    try:
        gateway, public, internal, llm, metrics = (each.getsockname()[1] for each in sockets)
    finally:
        for each in sockets:
            each.close()
    return Ports(gateway, public, internal, llm, metrics)
