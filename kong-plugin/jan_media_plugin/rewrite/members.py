"""The members of the objects around strings, as spans of a body that is known to be JSON."""

import bisect
import functools
import re
from operator import attrgetter
from typing import NamedTuple

from jan_media_plugin.rewrite.candidates import TooComplex
from jan_media_plugin.rewrite.parsed import without_escaped_quotes

# What may be looked at in one body: each step costs everybody a microsecond, as a token does, or a
# kilobyte of a string.
_MOST_STEPS = 200_000
_BYTES_A_STEP = 1024
_TOKEN = re.compile(rb'"[^"]*+"|[{}\[\]:,]')
_SPACE = re.compile(rb"[ \t\n\r]*")
_SCALAR = re.compile(rb"[^ \t\n\r,}\]]+")


class Member(NamedTuple):
    """One member: where its key and its value are, each with its quotes."""

    key: bytes  # between its quotes, as it is spelled
    key_start: int
    key_end: int
    value_start: int
    value_end: int


class ObjectSpan:
    """An object, whose brace stands at ``start``."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.members: list[Member] = []
        self._by_key: dict[bytes, Member] = {}

    def add(self, member: Member) -> None:
        """Add a member that stands behind all others."""
        self.members.append(member)
        self._by_key.setdefault(member.key, member)

    def index(self, position: int) -> int:
        """Return which member's value holds ``position``. Many strings may ask."""
        return bisect.bisect(self.members, position, key=attrgetter("value_start")) - 1

    def named(self, *names: str) -> Member | None:
        """Return the first member of the first of these names that is there."""
        return next(filter(None, (self._by_key.get(name.encode()) for name in names)), None)


class Objects:
    """The objects around strings of one body. Only these are read, each once."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self._read: dict[int, ObjectSpan] = {}
        self._opened: dict[int, int] = {}
        """By where a string or an object begins: where the innermost object around it does."""
        self._steps_left = _MOST_STEPS

    def around(self, position: int) -> ObjectSpan:
        """Return the innermost object around a string or an object that begins at ``position``.

        Raises `TooComplex` once all that was looked at is too much.
        """
        if position not in self._opened:
            self._opened[position] = self._opening(position)
        start = self._opened[position]
        if start not in self._read:
            self._read[start] = self._members(start)
        return self._read[start]

    @functools.cached_property
    def _text(self) -> bytes:
        return without_escaped_quotes(self.body)

    @functools.cached_property
    def _backwards(self) -> bytes:
        return self._text[::-1]  # in which strings are strings again

    def _opening(self, position: int) -> int:
        """Read from ``position`` to the left, until the brace of the object around it."""
        size, depth = len(self._text), 0
        for token in _TOKEN.finditer(self._backwards, size - position):
            self._step(token)
            start = size - token.end()
            match token[0][:1]:
                case b"}" | b"]":
                    depth += 1
                case b"{" | b"[" if depth:
                    depth -= 1
                case b"{":
                    return start
                case b'"' if not depth and start in self._opened:
                    return self._opened[start]
        raise ValueError("no object is around the root")

    def _members(self, start: int) -> ObjectSpan:
        """Read from the brace at ``start`` to the one that closes it."""
        found, depth, before = ObjectSpan(start), 0, (0, 0)
        key: tuple[int, int] | None = None
        value = 0
        for token in _TOKEN.finditer(self._text, start):
            self._step(token)
            mark = token[0][:1]
            if mark in b"{[":
                depth += 1
            elif mark == b":" and depth == 1:
                key, value = before, _after_space(self.body, token.end())
            elif mark in b",}]":
                if depth == 1 and key is not None:
                    found.add(self._member(key, value, before))
                    key = None
                depth -= mark != b","
                if not depth:
                    break
            before = token.span()
        return found

    def _member(self, key: tuple[int, int], value: int, last: tuple[int, int]) -> Member:
        """``last`` is the span of the token before the comma or the brace behind the value."""
        end = last[1]
        if last[0] < value:  # the colon: numbers, true, false and null are no tokens
            end = _SCALAR.match(self.body, value).end()  # type: ignore[union-attr]
        return Member(self.body[key[0] + 1 : key[1] - 1], *key, value, end)

    def _step(self, token: re.Match[bytes]) -> None:
        self._steps_left -= 1 + (token.end() - token.start()) // _BYTES_A_STEP
        if self._steps_left < 0:
            raise TooComplex("of so many parts beside an id")


def _after_space(body: bytes, at: int) -> int:
    return _SPACE.match(body, at).end()  # type: ignore[union-attr]
