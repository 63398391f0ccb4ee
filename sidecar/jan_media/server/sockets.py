"""The addresses that the sidecar listens on.

One process holds each address for as long as the sidecar runs. Each worker listens there with a
socket of its own, and the system spreads the connections among them (SO_REUSEPORT). With one socket
for all, one worker takes a whole burst: 16 of 16 connections with two workers, which a gateway then
keeps for hours, and the other worker has nothing to do. Workers share a Unix socket, since its path
can have only one.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path

from jan_media.errors import CannotStart
from jan_media.settings import Address, Settings


@contextlib.contextmanager
def held(address: Address) -> Iterator[socket.socket]:
    """A socket that is bound to ``address``; the file of a Unix socket is removed at the end.

    Raises `CannotStart` if the address is taken or cannot be.
    """
    try:
        sock = _bind_unix(address.path) if address.path else _bind_tcp(address)
    except OSError as problem:
        raise CannotStart(f"cannot listen on {address}: {problem.strerror}") from problem
    with sock:
        yield sock
    if address.path:
        Path(address.path).unlink(missing_ok=True)


def of_worker(holder: socket.socket) -> socket.socket:
    """The socket with which a worker serves at the address that ``holder`` holds."""
    if holder.family == socket.AF_UNIX:
        return holder
    return _bound(holder.family, holder.getsockname(), socket.SO_REUSEPORT)


def with_real_ports(settings: Settings, public: socket.socket, internal: socket.socket) -> Settings:
    """The settings with the ports that the system chose where they say 0."""
    listen, internal_listen = (
        address if address.path or address.port else replace(address, port=sock.getsockname()[1])
        for address, sock in ((settings.listen, public), (settings.internal_listen, internal))
    )
    real = copy(settings)
    real.listen, real.internal_listen = listen, internal_listen
    if settings.public_url == f"http://{settings.listen}":
        real.public_url = f"http://{listen}"
    return real


def _bind_tcp(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    place = (address.host, address.port)
    if address.port:
        # SO_REUSEPORT would share the port with another sidecar of this user, too.
        _bound(family, place, socket.SO_REUSEADDR).close()
    return _bound(family, place, socket.SO_REUSEPORT)


def _bound(family: int, place: tuple[str | int, ...], option: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
        sock.bind(place)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if Path(path).is_socket() and sock.connect_ex(path) != 0:
            Path(path).unlink()  # left behind by a process that was killed
        sock.close()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(path)
        # The gateway may run as another user; without a secret only our own group may call.
        os.chmod(path, 0o660)
    except OSError:
        sock.close()
        raise
    return sock
