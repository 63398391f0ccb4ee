"""HTTP as bytes: what a client sends and gets, and an upstream that does as it is told."""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Message(NamedTuple):
    """A start line, header lines as (lower-case name, value), and a body."""

    start: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of a header."""
        return next((value for key, value in self.headers if key == name), None)

    def get_all(self, name: bytes) -> list[bytes]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key == name]

    @property
    def status(self) -> int:
        """A response's status."""
        return int(self.start.split()[1])


class Peer:
    """One end of a connection, read message by message."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.sock.sendall(data)

    def read_head(self) -> Message:
        """Read up to the empty line."""
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        start, *lines = head.split(b"\r\n")
        pairs = [line.partition(b":") for line in lines]
        return Message(start, [(n.lower(), v.strip()) for n, _, v in pairs], b"")

    def read(self, head_only: bool = False) -> Message:
        """Read a message with its body."""
        message = self.read_head()
        if head_only:
            return message
        if message.get(b"transfer-encoding") == b"chunked":
            chunks = []
            while chunk := self.read_chunk():
                chunks.append(chunk)
            return message._replace(body=b"".join(chunks))
        return message._replace(body=self.exactly(int(message.get(b"content-length") or 0)))

    def read_chunk(self) -> bytes:
        """Read one chunk; empty for the last."""
        while b"\r\n" not in self._buffer:
            self._more()
        size, _, self._buffer = self._buffer.partition(b"\r\n")
        return self.exactly(int(size, 16) + 2)[:-2]

    def exactly(self, size: int) -> bytes:
        """Read so many bytes."""
        while len(self._buffer) < size:
            self._more()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def closed(self) -> bool:
        """Wait for the other end to close; False if it sends instead."""
        try:
            return not self._buffer and self.sock.recv(65536) == b""
        except ConnectionError:
            return True

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(self._buffer)
        self._buffer += data


@contextmanager
def connected(port: int) -> Iterator[Peer]:
    """Connect to 127.0.0.1."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Peer(sock)


def ask(
    port: int,
    target: str | bytes,
    *headers: bytes,
    method: bytes = b"GET",
    body: bytes = b"",
    host: bytes = b"gate.test",
) -> Message:
    """Send one request and return its response."""
    path = target if isinstance(target, bytes) else target.encode()
    lines = [b"%s %s HTTP/1.1" % (method, path), b"Host: " + host, *headers]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    with connected(port) as peer:
        peer.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        return peer.read(head_only=method == b"HEAD")


class Upstream:
    """A server on a free port. It does as `behave` says; what it got is in `requests`."""

    def __init__(self, port: int, behave: "Behaviour") -> None:
        self.port = port
        self.behave = behave
        self.requests: list[Message] = []
        self.connections = 0

    @property
    def last(self) -> Message:
        """The request that came last."""
        return self.requests[-1]


Behaviour = Callable[[Peer, Upstream], None]


def answers(response: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi") -> Behaviour:
    """Return a behaviour that reads requests and answers each the same."""

    def behave(peer: Peer, upstream: Upstream) -> None:
        while True:
            upstream.requests.append(peer.read())
            peer.send(response)

    return behave


@contextmanager
def upstream(behave: Behaviour | None = None) -> Iterator[Upstream]:
    """Run an upstream."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(10)
            served.connections += 1
            try:
                served.behave(Peer(self.request), served)
            except (EOFError, OSError):
                return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        served = Upstream(server.server_address[1], behave or answers())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
