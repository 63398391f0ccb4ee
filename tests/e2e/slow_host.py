"""A web server that accepts connections and never answers."""

import socket
from types import TracebackType

from demo.addresses import HOST, url


class SlowHost:
    """Connections are taken by the system's queue; nobody ever answers them."""

    def __init__(self) -> None:
        self._listening = socket.create_server((HOST, 0))
        self.base_url = url(self._listening.getsockname()[1])

    def __enter__(self) -> "SlowHost":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listening.close()
