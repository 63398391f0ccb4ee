"""A model that says nothing, and remembers every request that reached it."""

from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from demo.addresses import HOST
from demo.in_thread import ServedInThread


@dataclass(frozen=True)
class Received:
    """One request as it arrived; header names in lower case."""

    path: str
    headers: tuple[tuple[str, str], ...]
    body: str

    def header(self, name: str) -> list[str]:
        """Every value under a name."""
        return [value for each, value in self.headers if each == name.lower()]


class _Recorder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Recording"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = tuple((name.lower(), value) for name, value in self.headers.items())
        self.server.received.append(
            Received(self.path, headers, body.decode("utf-8", "backslashreplace"))
        )
        self.send_response(200)
        self.send_header("X-Request-Id", "upstreams-own")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST

    def log_message(self, format: str, *args: object) -> None:
        """Stays quiet."""


class _Recording(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Recorder)
        self.received: list[Received] = []


class CountingUpstream(ServedInThread):
    """Answers every request with ``{}``. Use it as a context manager."""

    def __init__(self) -> None:
        self._recording = _Recording()
        super().__init__(self._recording)

    @property
    def received(self) -> list[Received]:
        """All requests so far, oldest first."""
        return list(self._recording.received)

    def count(self, marker: str) -> int:
        """How many requests had this text in their body."""
        return sum(marker in each.body for each in self.received)
