"""How a body ends: after a length, after its last chunk, or with the connection (RFC 9112, 6)."""

import re
from typing import Protocol

from devkong.http.head import BadMessage

_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\Z", re.DOTALL)
_LONGEST_CHUNK_LINE = 4096


class Framing(Protocol):
    """Takes bytes off the wire and gives the body's, until it is done."""

    done: bool

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return (bytes of the body, bytes after its end). Raises BadMessage."""
        ...


class FixedLength:
    """A body of so many bytes."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return (bytes of the body, bytes after its end)."""
        if len(data) < self._left:
            self._left -= len(data)
            return data, b""
        left, self._left, self.done = self._left, 0, True
        return data[:left], data[left:]


class Chunked:
    """A body in chunks; trailers are dropped."""

    def __init__(self) -> None:
        self.done = False
        self._pending = b""
        self._left = 0
        self._state = "size"

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return (bytes of the body, bytes after its end). Raises BadMessage."""
        if self._pending:
            data, self._pending = self._pending + data, b""
        body: list[bytes] = []
        at = 0
        while not self.done:
            if self._state == "data":
                piece = data[at : at + self._left]
                body.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    return b"".join(body), b""
                self._state = "after data"
            end = data.find(b"\r\n", at)
            if end < 0:
                if len(data) - at > _LONGEST_CHUNK_LINE:
                    raise BadMessage(400, "chunk line too long")
                self._pending = data[at:]
                return b"".join(body), b""
            self._take_line(data[at:end])
            at = end + 2
        return b"".join(body), data[at:]

    def _take_line(self, line: bytes) -> None:
        if self._state == "after data":
            if line:
                raise BadMessage(400, "bytes after a chunk")
            self._state = "size"
        elif self._state == "trailers":
            self.done = not line
        else:
            size = _CHUNK_SIZE.match(line)
            if not size:
                raise BadMessage(400, "bad chunk size")
            self._left = int(size[1], 16)
            self._state = "data" if self._left else "trailers"


class UntilClose:
    """A response body that ends when the upstream closes the connection."""

    done = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return (bytes of the body, nothing)."""
        return data, b""
