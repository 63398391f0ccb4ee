"""The members of the objects around strings, as spans of a body that is known to be JSON."""

import bisect
import re
from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

from jan_media_plugin.rewrite.candidates import TooComplex
from jan_media_plugin.rewrite.parsed import without_escaped_quotes

_MOST_TOKENS = 200_000  # of one body: each costs everybody half a microsecond
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
        self.key: tuple[int, int] | None = None  # of the member that is being read
        self.value_start = 0

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
    """The innermost objects around strings that begin at ``positions``, and those around them.

    The body is read once, when the first of them is asked for.
    """

    def __init__(self, body: bytes, positions: Iterable[int]) -> None:
        self.body = body
        self._positions = frozenset(positions)
        self._around: dict[int, ObjectSpan] = {}

    def around(self, position: int) -> ObjectSpan:
        """Return the innermost object around a string, or around the object around it.

        ``position`` is where that begins. Raises `TooComplex`.
        """
        if not self._around:
            self._read()
        return self._around[position]

    def _read(self) -> None:
        objects: list[ObjectSpan] = []
        opened: list[ObjectSpan | None] = []  # objects, and None for each array
        before = (0, 0)
        for count, token in enumerate(_TOKEN.finditer(without_escaped_quotes(self.body))):
            if count == _MOST_TOKENS:
                raise TooComplex("with so much beside its ids")
            start, end = token.span()
            match token[0][:1]:
                case b'"':
                    if start in self._positions:
                        self._around[start] = objects[-1]
                        self._around[objects[-1].start] = objects[max(-2, -len(objects))]
                case b"{":
                    objects.append(ObjectSpan(start))
                    opened.append(objects[-1])
                case b"[":
                    opened.append(None)
                case b":":
                    objects[-1].key = before
                    objects[-1].value_start = _after_space(self.body, end)
                case mark:
                    if opened[-1] is not None:
                        self._end_member(opened[-1], before)
                    if mark != b"," and opened.pop() is not None:
                        objects.pop()
            before = (start, end)

    def _end_member(self, around: ObjectSpan, last: tuple[int, int]) -> None:
        """``last`` is the span of the token before the comma or the brace."""
        if around.key is not None:
            (key_start, key_end), value, value_end = around.key, around.value_start, last[1]
            if last[0] < value:
                value_end = _SCALAR.match(self.body, value).end()  # type: ignore[union-attr]
            key = self.body[key_start + 1 : key_end - 1]
            around.add(Member(key, key_start, key_end, value, value_end))
            around.key = None


def _after_space(body: bytes, at: int) -> int:
    return _SPACE.match(body, at).end()  # type: ignore[union-attr]
