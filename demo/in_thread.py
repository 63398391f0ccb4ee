"""A small web server in a thread of the program that wants one."""

import threading
from http.server import HTTPServer
from types import TracebackType
from typing import Self

from demo.addresses import url


class ServedInThread:
    """A context manager that serves. ``server`` already has a socket."""

    def __init__(self, server: HTTPServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, daemon=True)
        self.base_url = url(server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
