"""The members of the objects around strings, as spans of a body that is valid JSON."""

import bisect
import functools
import json
import re
from operator import attrgetter
from typing import NamedTuple

from jan_media_plugin.rewrite.candidates import TooComplex
from jan_media_plugin.rewrite.parsed import without_escaped_quotes

# The most work for one body. A token, a kilobyte of a string, or a member is a step: each blocks
# the event loop for a microsecond.
_MOST_STEPS = 200_000
_BYTES_A_STEP = 1024
_MOST_READINGS = 4  # of one byte: objects with ids may be nested
_TOKEN = re.compile(r'"[^"]*+"|[{}\[\],]')
_MEMBER = re.compile(r'\s*[{,]\s*(?P<quoted>"(?P<key>[^"]*+)")\s*:\s*')
# A number may have more digits than Python's int accepts.
_DECODER = json.JSONDecoder(strict=False, parse_int=float)


class Member(NamedTuple):
    """One member: where its key and its value are, each with its quotes."""

    key: str  # between its quotes, as written
    key_start: int
    key_end: int
    value_start: int
    value_end: int


class ObjectSpan:
    """An object, whose opening brace is at ``start``."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.members: list[Member] = []
        self._by_key: dict[str, Member] = {}

    def add(self, member: Member) -> None:
        """Add a member that comes after all others."""
        self.members.append(member)
        self._by_key.setdefault(member.key, member)

    def index(self, position: int) -> int:
        """Return the index of the member whose value holds ``position``. May be called often."""
        return bisect.bisect(self.members, position, key=attrgetter("value_start")) - 1

    def named(self, *names: str) -> Member | None:
        """Return the first member with the first of these names that occurs."""
        return next(filter(None, (self._by_key.get(name) for name in names)), None)


class Objects:
    """The objects around strings of one body. Only these are read, each once."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self._read: dict[int, ObjectSpan] = {}
        self._opened: dict[int, int] = {}
        """The start of the innermost object around a string or an object, by the latter's start."""
        self._steps_left = _MOST_STEPS

    def around(self, position: int) -> ObjectSpan:
        """Return the innermost object around a string or an object that begins at ``position``.

        Raises `TooComplex` once the work for this body is too much.
        """
        if position not in self._opened:
            self._opened[position] = self._opening(position)
        start = self._opened[position]
        if start not in self._read:
            self._read[start] = self._members(start)
        return self._read[start]

    @functools.cached_property
    def _text(self) -> str:
        """The body with one character per byte, as Python's decoder needs it."""
        return without_escaped_quotes(self.body).decode("latin-1")

    @functools.cached_property
    def _backwards(self) -> str:
        return self._text[::-1]  # reversed strings are strings, too

    def _opening(self, position: int) -> int:
        """Read leftward from ``position`` to the opening brace of the object around it."""
        size, depth = len(self._text), 0
        for token in _TOKEN.finditer(self._backwards, size - position):
            self._step(1 + len(token[0]) // _BYTES_A_STEP)
            start = size - token.end()
            match token[0][:1]:
                case "}" | "]":
                    depth += 1
                case "{" | "[" if depth:
                    depth -= 1
                case "{":
                    return start
                case '"' if not depth and start in self._opened:
                    return self._opened[start]
        raise ValueError("no object is around the root")

    def _members(self, start: int) -> ObjectSpan:
        """Read the object whose opening brace is at ``start``."""
        found, at = ObjectSpan(start), start
        try:
            while opened := _MEMBER.match(self._text, at):
                self._step(1)
                _, at = _DECODER.raw_decode(self._text, opened.end())
                found.add(Member(opened["key"], *opened.span("quoted"), opened.end(), at))
        except RecursionError:
            raise TooComplex("nested so deeply") from None
        self._step(_MOST_STEPS * (at - start) // (_MOST_READINGS * len(self._text)))
        return found

    def _step(self, cost: int) -> None:
        self._steps_left -= cost
        if self._steps_left < 0:
            raise TooComplex("of so many parts beside an id")
