"""Taking connections from a socket that several workers share.

A worker takes one connection, then does what else is due, and only then takes the next. libuv's
own listeners take all that wait, so that of two workers one would get every connection of a burst,
which a gateway then keeps for hours, and the other none.
"""

import asyncio
import logging
import socket
from collections.abc import Callable

log = logging.getLogger("jan_media.serve")

PAUSE = 1.0  # seconds without new connections after the system has refused one


class Listener:
    """Serves the connections of ``sock`` (which listens, and does not block) until it is closed."""

    def __init__(self, sock: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._sock = sock
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        self._open = True
        self._listen()

    def close(self) -> None:
        """Take no more connections. Those that are open stay."""
        self._open = False
        self._loop.remove_reader(self._sock)

    async def wait_closed(self) -> None:
        """Wait until the connections that were just taken are served."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _listen(self) -> None:
        if self._open:
            self._loop.add_reader(self._sock, self._take_one)

    def _take_one(self) -> None:
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return  # another worker was faster, or the client has gone
        except OSError as problem:  # no more descriptors, or memory
            log.error("cannot take a connection: %s", problem.strerror)
            self._loop.remove_reader(self._sock)
            self._loop.call_later(PAUSE, self._listen)
            return
        connection.setblocking(False)
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opening = self._loop.create_task(
            self._loop.connect_accepted_socket(self._protocol, connection)
        )
        self._opening.add(opening)
        opening.add_done_callback(self._opened)

    def _opened(self, opening: "asyncio.Task[object]") -> None:
        self._opening.discard(opening)
        if not opening.cancelled() and opening.exception() is not None:
            log.error("a connection could not be served", exc_info=opening.exception())
