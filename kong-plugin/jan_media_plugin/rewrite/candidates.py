"""Where in a body an id could be, found at the speed of a memory search and without parsing.

A JSON string spells an id only if it holds the four characters ``jan_``, in any case, each of
them plain or as the escape ``\\u00XX``. So a body has no id if it has neither ``jan_`` in any case
nor an escape of one of the characters ``j a n _``. Most bodies end here.
"""

import re
from collections.abc import Callable

# An id goes on with a digit, plain or as an escape.
# Both patterns begin with one literal byte, which is what makes `re` fast: it looks for that byte
# and tries nothing elsewhere.
_PLAIN = re.compile(rb"_(?<=[jJ][aA][nN]_)(?=[0-7\\])")
_ESCAPED = re.compile(rb"\\u00(?:[46][aAeE]|[46]1|5[fF])")

# `find` of one byte is memchr: some twenty times faster than a pattern per byte skipped, and some
# ten times slower per byte found. It goes first, for as long as it finds little.
_FEW = 16


def _searcher(byte: bytes, pattern: re.Pattern[bytes]) -> Callable[[bytes, int], int]:
    def search(body: bytes, start: int) -> int:
        position = body.find(byte, start)
        for _ in range(_FEW):
            if position < 0 or pattern.match(body, position):
                return position
            position = body.find(byte, position + 1)
        match = pattern.search(body, position) if position >= 0 else None
        return match.start() if match else -1

    return search


_next_plain = _searcher(b"_", _PLAIN)
_next_escaped = _searcher(b"\\", _ESCAPED)


class Candidates:
    """The places of a body at which part of an id may stand, asked for in rising order."""

    __slots__ = ("_body", "_end", "_escaped", "_plain")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._end = len(body)
        self._plain = self._escaped = -1
        self.after(0)

    def after(self, start: int) -> int:
        """Return the first candidate at ``start`` or later; the body's length if there is none."""
        if self._plain < start:
            self._plain = self._found(_next_plain, start)
        if self._escaped < start:
            self._escaped = self._found(_next_escaped, start)
        return min(self._plain, self._escaped)

    def _found(self, search: Callable[[bytes, int], int], start: int) -> int:
        position = search(self._body, start)
        return self._end if position < 0 else position
