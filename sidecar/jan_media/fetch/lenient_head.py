"""Corrects the heads of responses, so that a strict HTTP parser takes them.

A line that is no header field is left out, as browsers and curl do. A blank before the colon is
removed, as RFC 9112 (section 5.1) asks of proxies. What says where the content ends is not changed.
"""

import re
import ssl
from typing import Any

import httpcore

from jan_media.fetch.errors import FetchFailed

_LONGEST_HEAD = 256 * 1024  # bytes; the intake has its own, smaller limit for what is no content
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(:[^\0\r\n]*)")
_INTERIM = re.compile(rb"HTTP/1\.[01] 1\d\d\b")


class LenientStream(httpcore.AsyncNetworkStream):
    """A stream over another one. It reads the same bytes, but with corrected heads."""

    def __init__(self, below: httpcore.AsyncNetworkStream) -> None:
        self._below = below
        self._head = b""
        self._is_in_head = True
        self._ready = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Return the next bytes, none at the end. Raises as the other stream, and `FetchFailed`."""
        while not self._ready:
            data = await self._below.read(max_bytes, timeout)
            if not self._is_in_head:
                return data
            if not data:
                self._ready, self._is_in_head = self._head, False
                return self._taken(max_bytes)
            self._head += data
            if len(self._head) > _LONGEST_HEAD:
                raise FetchFailed("The server sent too much that is not content.")
            self._take_heads()
        return self._taken(max_bytes)

    def _taken(self, max_bytes: int) -> bytes:
        taken, self._ready = self._ready[:max_bytes], self._ready[max_bytes:]
        return taken

    def _take_heads(self) -> None:
        """Correct the heads that have come whole. After the final head, content follows."""
        while self._is_in_head and (end := _HEAD_END.search(self._head)):
            head, self._head = self._head[: end.start()], self._head[end.end() :]
            self._ready += _by_the_book(head)
            self._is_in_head = _INTERIM.match(head) is not None
        if not self._is_in_head:
            self._ready, self._head = self._ready + self._head, b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send all of ``buffer``."""
        await self._below.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._below.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        """The same connection under TLS."""
        return LenientStream(await self._below.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of the other stream."""
        return self._below.get_extra_info(info)


def _by_the_book(head: bytes) -> bytes:
    """The status line and the header fields; a folded line goes with its field."""
    status, *lines = re.split(rb"\r?\n", head)
    kept = [status]
    is_kept = False
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if is_kept:
                kept.append(line.replace(b"\0", b""))
            continue
        field = _FIELD.fullmatch(line)
        is_kept = field is not None
        if field is not None:
            kept.append(field[1] + field[2])
    return b"\r\n".join(kept) + b"\r\n\r\n"
