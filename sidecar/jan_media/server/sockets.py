"""The sockets that the sidecar listens on."""

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from jan_media.errors import CannotStart
from jan_media.settings import Address, Settings


@contextlib.contextmanager
def listening(address: Address) -> Iterator[socket.socket]:
    """A bound and listening socket; of a Unix socket also its file, which goes at the end.

    Raises `CannotStart` if the address is taken or cannot be.
    """
    try:
        sock = _bind_unix(address.path) if address.path else _bind_tcp(address)
    except OSError as problem:
        raise CannotStart(f"cannot listen on {address}: {problem.strerror}") from problem
    owner = os.getpid()
    with sock:
        sock.listen(2048)
        sock.setblocking(False)
        sock.set_inheritable(True)
        yield sock
    if address.path and os.getpid() == owner:
        Path(address.path).unlink(missing_ok=True)


def with_real_ports(settings: Settings, public: socket.socket, internal: socket.socket) -> Settings:
    """The settings with the ports that the system chose where they say 0."""
    listen, internal_listen = (
        address if address.path or address.port else replace(address, port=sock.getsockname()[1])
        for address, sock in ((settings.listen, public), (settings.internal_listen, internal))
    )
    public_url = settings.public_url
    if public_url == f"http://{settings.listen}":
        public_url = f"http://{listen}"
    return replace(settings, listen=listen, internal_listen=internal_listen, public_url=public_url)


def _bind_tcp(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
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
