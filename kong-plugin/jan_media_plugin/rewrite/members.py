"""The members of the object around a string, as spans of the body.

In a body that is known to be JSON, what is before a string can be read backwards: inside a string
every quote is behind a backslash, so the next quote that is not opens the string.
"""

import re
from typing import NamedTuple

from jan_media_plugin.rewrite.candidates import TooComplex

# What may be looked at in one body: each step costs some 300 nanoseconds of everybody.
_MOST_STEPS = 200_000
_MOST_READINGS = 8  # how often the bytes of a body may be read, all objects together
_STRING = re.compile(rb'"(?>[^"\\]+|\\.)*"', re.DOTALL)
_SCALAR = re.compile(rb"[^ \t\n\r,}\]]+")
_SPACE = re.compile(rb"[ \t\n\r]*")
_NEXT_MARK = re.compile(rb'["\[\]{}]')


class Member(NamedTuple):
    """One member: where its key and its value are, each with its quotes."""

    key: bytes  # between its quotes, as it is spelled
    key_start: int
    key_end: int
    value_start: int
    value_end: int


class ObjectSpan(NamedTuple):
    """An object: ``body[start:end]`` with its braces."""

    start: int
    end: int
    members: list[Member]

    def member_at(self, position: int) -> Member:
        """Return the member whose value holds ``position``."""
        return next(m for m in self.members if m.value_start <= position < m.value_end)

    def named(self, *names: str) -> Member | None:
        """Return the first member of one of these names, however it is spelled."""
        spelled = [name.encode() for name in names]
        return next((m for m in self.members if m.key in spelled), None)


class Objects:
    """The objects of ``body``, which is JSON. Each is read once, however many strings it holds.

    Raises `TooComplex` once all that was read is too much.
    """

    def __init__(self, body: bytes) -> None:
        self.body = body
        self._known: dict[int, ObjectSpan] = {}
        self._steps_left = _MOST_STEPS
        self._bytes_left = _MOST_READINGS * len(body) + 4096

    def around(self, position: int) -> ObjectSpan:
        """Return the innermost object in which a value begins at ``position``."""
        start = self._opening(position)
        if start not in self._known:
            self._known[start] = self._read(start)
        return self._known[start]

    def _opening(self, position: int) -> int:
        """Return where the object begins in which ``position`` is, between its tokens."""
        body, depth, at = self.body, 0, position
        while at > 0:
            self._spend(1, 0)
            at -= 1
            byte = body[at : at + 1]
            if byte == b'"':
                end = at
                at = self._quote_before(at)
                self._spend(0, end - at)
            elif byte in b"}]":
                depth += 1
            elif byte in b"{[":
                if depth == 0 and byte == b"{":
                    return at
                depth = max(0, depth - 1)  # an array around the value is inside of the object too
        raise TooComplex("read backwards")  # not in a body that is JSON

    def _quote_before(self, quote: int) -> int:
        """Return where the string begins that ends with ``quote``."""
        while True:
            quote = self.body.rfind(b'"', 0, quote)
            before = quote
            while self.body[before - 1 : before] == b"\\":
                before -= 1
            self._spend(1 + quote - before, 0)
            if (quote - before) % 2 == 0:
                return quote

    def _read(self, start: int) -> ObjectSpan:
        body, members = self.body, []
        at = _after_space(body, start + 1)
        while body[at : at + 1] == b'"':
            key_end = _string_end(body, at)
            value_start = _after_space(body, _after_space(body, key_end) + 1)
            value_end = self._value_end(value_start)
            self._spend(4, value_end - at)
            members.append(Member(body[at + 1 : key_end - 1], at, key_end, value_start, value_end))
            at = _after_space(body, value_end)
            if body[at : at + 1] == b",":
                at = _after_space(body, at + 1)
        return ObjectSpan(start, at + 1, members)

    def _value_end(self, at: int) -> int:
        body = self.body
        if body[at : at + 1] == b'"':
            return _string_end(body, at)
        if body[at : at + 1] not in (b"{", b"["):
            return _SCALAR.match(body, at).end()  # type: ignore[union-attr]
        depth = 0
        while True:
            self._spend(1, 0)
            mark = _NEXT_MARK.search(body, at)
            assert mark is not None, "the body is JSON"
            if mark[0] == b'"':
                at = _string_end(body, mark.start())
                continue
            depth += 1 if mark[0] in b"{[" else -1
            at = mark.end()
            if depth == 0:
                return at

    def _spend(self, steps: int, read: int) -> None:
        self._steps_left -= steps
        self._bytes_left -= read
        if self._steps_left < 0 or self._bytes_left < 0:
            raise TooComplex("with so much beside its ids")


def _after_space(body: bytes, at: int) -> int:
    return _SPACE.match(body, at).end()  # type: ignore[union-attr]


def _string_end(body: bytes, at: int) -> int:
    return _STRING.match(body, at).end()  # type: ignore[union-attr]
