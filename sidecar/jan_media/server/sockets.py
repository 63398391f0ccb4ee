"""The addresses that the sidecar listens on.

One process holds each address for as long as the sidecar runs. Each worker listens there with a
socket of its own, and the system spreads the connections among them (SO_REUSEPORT). With one socket
for all, one worker takes a whole burst: of two workers, one took 16 of 16 connections. A gateway
keeps these for hours, and the other worker has nothing to do. Workers share a Unix socket, since
its path can have only one.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from jan_media.errors import CannotStart
from jan_media.settings import Address


@contextlib.contextmanager
def held(address: Address) -> Iterator[tuple[socket.socket, Address]]:
    """A socket that is bound to ``address``, and that address, with the chosen port in place of a
    port 0. The file of a Unix socket is removed at the end.

    Raises `CannotStart` if the address is taken or invalid.
    """
    tcp = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with contextlib.ExitStack() as until_the_end:
        try:
            sock = socket.socket(socket.AF_UNIX if address.path else tcp)
            until_the_end.enter_context(sock)
            if address.path:
                _bind_unix(sock, address.path)
            else:
                _bind_tcp(sock, address.host, address.port)
                address = replace(address, port=sock.getsockname()[1])
        except OSError as problem:
            raise CannotStart(f"cannot listen on {address}: {problem.strerror}") from problem
        yield sock, address
    if address.path:
        Path(address.path).unlink(missing_ok=True)


def of_worker(holder: socket.socket) -> socket.socket:
    """The socket with which a worker serves at the address that ``holder`` holds."""
    if holder.family == socket.AF_UNIX:
        return holder
    sock = socket.socket(holder.family)
    _bind(sock, holder.getsockname(), socket.SO_REUSEPORT)
    return sock


def _bind_tcp(sock: socket.socket, host: str, port: int) -> None:
    if port:
        # SO_REUSEPORT alone would share the port with another sidecar of this user.
        with socket.socket(sock.family) as probe:
            _bind(probe, (host, port), socket.SO_REUSEADDR)
    _bind(sock, (host, port), socket.SO_REUSEPORT)


def _bind(sock: socket.socket, place: tuple[Any, ...], option: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, option, 1)
    sock.bind(place)


def _bind_unix(sock: socket.socket, path: str) -> None:
    if Path(path).is_socket():
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) != 0:
                Path(path).unlink()  # left behind by a process that was killed
    sock.bind(path)
    # The gateway may run as another user of our group. Nobody else may connect.
    os.chmod(path, 0o660)
