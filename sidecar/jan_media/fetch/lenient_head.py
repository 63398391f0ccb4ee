"""Corrects the heads of responses, so that a strict HTTP parser takes them.

A line that is no header field is left out, as browsers and curl do. A blank before the colon is
removed, as RFC 9112 (section 5.1) asks of proxies. What says where the content ends is not changed.
"""

import re

from jan_media.fetch.errors import FetchFailed

_LONGEST_HEAD = 256 * 1024  # bytes; the intake has its own, smaller limit for what is no content
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(:[^\0\r\n]*)")
_INTERIM = re.compile(rb"HTTP/1\.[01] 1\d\d\b")


class LenientHeads:
    """Corrects the heads at the beginning of what a connection brings."""

    def __init__(self) -> None:
        self._head = b""
        self._is_in_head = True

    def corrected(self, data: bytes) -> bytes:
        """What to go on with when ``data`` has come; none of it means the end.

        The heads that have come whole are corrected. After the final head, content follows. Raises
        `FetchFailed` for an endless head.
        """
        if not self._is_in_head:
            return data
        self._head += data
        if len(self._head) > _LONGEST_HEAD:
            raise FetchFailed("The server sent too much that is not content.")
        ready = b""
        while self._is_in_head and (end := _HEAD_END.search(self._head)):
            head, self._head = self._head[: end.start()], self._head[end.end() :]
            ready += _by_the_book(head)
            self._is_in_head = _INTERIM.match(head) is not None
        if not self._is_in_head or not data:
            ready, self._head, self._is_in_head = ready + self._head, b"", False
        return ready


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
