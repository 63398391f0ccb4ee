"""The members of the object around a string, as spans of the body.

In a body that is known to be JSON, what is before a string can be read backwards: inside a string
every quote is behind a backslash, so the next quote that is not opens the string.
"""

import re
from typing import NamedTuple

from jan_media_plugin.rewrite.candidates import TooComplex

# Bytes outside of strings that are looked at one by one, in the object before a string.
_MOST_BEFORE = 4096
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


def object_around(body: bytes, position: int) -> ObjectSpan:
    """Return the innermost object in which a value begins at ``position``.

    ``body`` is JSON. Raises `TooComplex` if too much is before it in the object.
    """
    start = _opening(body, position)
    members = []
    at = _after_space(body, start + 1)
    while body[at : at + 1] == b'"':
        key_end = _value_end(body, at)
        value_start = _after_space(body, _after_space(body, key_end) + 1)
        value_end = _value_end(body, value_start)
        members.append(Member(body[at + 1 : key_end - 1], at, key_end, value_start, value_end))
        at = _after_space(body, value_end)
        if body[at : at + 1] == b",":
            at = _after_space(body, at + 1)
    return ObjectSpan(start, at + 1, members)


def _opening(body: bytes, position: int) -> int:
    """Return where the object begins in which ``position`` is, between its tokens."""
    depth, looked_at = 0, 0
    at = position - 1
    while at >= 0 and looked_at < _MOST_BEFORE:
        byte = body[at : at + 1]
        if byte == b'"':
            at = body.rfind(b'"', 0, at)
            while _is_escaped(body, at):
                at = body.rfind(b'"', 0, at)
        elif byte in b"}]":
            depth += 1
        elif byte in b"{[":
            if depth == 0 and byte == b"{":
                return at
            depth = max(0, depth - 1)  # an array around the value is inside of the object too
        at -= 1
        looked_at += 1
    raise TooComplex("with so much beside an id")


def _is_escaped(body: bytes, quote: int) -> bool:
    before = quote
    while before > 0 and body[before - 1 : before] == b"\\":
        before -= 1
    return (quote - before) % 2 == 1


def _after_space(body: bytes, at: int) -> int:
    return _SPACE.match(body, at).end()  # type: ignore[union-attr]


def _value_end(body: bytes, at: int) -> int:
    if body[at : at + 1] == b'"':
        return _string_end(body, at)
    if body[at : at + 1] not in (b"{", b"["):
        return _SCALAR.match(body, at).end()  # type: ignore[union-attr]
    depth = 0
    while True:
        mark = _NEXT_MARK.search(body, at)
        assert mark is not None, "the body is JSON"
        if mark[0] == b'"':
            at = _string_end(body, mark.start())
            continue
        depth += 1 if mark[0] in b"{[" else -1
        at = mark.end()
        if depth == 0:
            return at


def _string_end(body: bytes, at: int) -> int:
    return _STRING.match(body, at).end()  # type: ignore[union-attr]
