"""Walking a body from its start to each id: exact for every body, however odd.

Runs of members and elements without an id are taken in one match each; what is left to look at
piece by piece is the way to each id.
"""

import codecs
from collections.abc import Iterable, Iterator, Sequence

from jan_media_plugin.rewrite.candidates import Found
from jan_media_plugin.rewrite.grammar import (
    AFTER_VALUE,
    COLON,
    ELEMENTS,
    MEMBERS,
    SCALAR,
    SPACE,
    string_end,
)
from jan_media_plugin.rewrite.places import Places, unescaped

Path = tuple[bytes | int, ...]
"""From the root to a value: the raw bytes between a key's quotes, or an array position."""

MAX_DEPTH = 500
MAX_STEPS = 100_000  # half a second at most; bodies of real clients take hundreds


class TooComplex(Exception):
    """The body holds an id but is nested deeper, or has more parts, than is looked at."""


class Malformed(Exception):
    """Not JSON."""


def walk(body: bytes, ids: Sequence[Found], *, by_runs: bool) -> Iterator[tuple[Found, Path, int]]:
    """Yield each of ``ids`` that is a value, in order.

    With it come the path to it, and how many steps of that are surely those to the one before.
    Positions in arrays are true only without runs. Raises `Malformed` or `TooComplex` on reaching
    the place that is so.
    """
    path: list[bytes | int] = []  # one entry for each open object or array
    openings = [*(one.start - 1 for one in ids), len(body)]
    coming = shared = 0
    position = len(codecs.BOM_UTF8) if body.startswith(codecs.BOM_UTF8) else 0
    position = SPACE.match(body, position).end()  # type: ignore[union-attr]
    for _ in range(MAX_STEPS):
        # The whole, a member or an element begins here. Pass over as many as can be.
        in_object = bool(path) and type(path[-1]) is bytes
        if path and by_runs:
            run = MEMBERS if in_object else ELEMENTS
            position = run.match(body, position, openings[coming]).end()  # type: ignore[union-attr]
        if in_object:
            end = string_end(body, position) if body[position : position + 1] == b'"' else -1
            colon = COLON.match(body, end) if end > 0 else None
            if colon is None:
                raise Malformed
            path[-1] = body[position + 1 : end - 1]
            position = colon.end()
            if openings[coming] < position:
                coming += 1
        # A value begins here.
        opening = body[position : position + 1]
        if opening == b'"':
            end = string_end(body, position)
            if end < 0:
                raise Malformed
            if position == openings[coming]:
                yield ids[coming], tuple(path), shared
                coming += 1
                shared = len(path)
            position = end
        elif opening == b"{" or opening == b"[":
            position = SPACE.match(body, position + 1).end()  # type: ignore[union-attr]
            closing = body[position : position + 1]
            if closing != (b"}" if opening == b"{" else b"]"):
                if len(path) == MAX_DEPTH:
                    raise TooComplex(f"nested deeper than {MAX_DEPTH}")
                path.append(b"" if opening == b"{" else 0)
                continue
            position += 1
        else:
            scalar = SCALAR.match(body, position)
            if scalar is None:
                raise Malformed
            position = scalar.end()

        # A value has ended here. Close what ends with it, then go to the next one: its last step
        # is another.
        while True:
            if not path:
                if SPACE.match(body, position).end() != len(body):  # type: ignore[union-attr]
                    raise Malformed
                return
            after = AFTER_VALUE.match(body, position)
            if after is None:
                raise Malformed
            in_array = type(path[-1]) is int
            mark = after[1]
            if mark == b",":
                position = after.end()
                break
            if (mark == b"]") is not in_array:
                raise Malformed
            position = after.end(1)
            path.pop()
        shared = min(shared, len(path) - 1)
        if in_array:
            path[-1] += 1  # type: ignore[operator]
    raise TooComplex(f"of more than {MAX_STEPS} parts")


def only_at_places(
    walked: Iterable[tuple[Found, Path, int]], places: Places
) -> Iterator[tuple[Found, Path]]:
    """Yield what was walked to and stands at ``places``. Looks once at a step that many share."""
    ways = [places.root]  # after each step of the last path
    for one, path, shared in walked:
        del ways[shared + 1 :]
        for step in path[shared:]:
            way = ways[-1]
            ways.append(places.further(way, unescaped(step)) if isinstance(step, bytes) else way)
        if places.have(ways[-1]):
            yield one, path


def spell(path: Path) -> str:
    """Return ``messages[0].content[1].image_url.url`` for such a path."""
    steps = [f"[{step}]" if isinstance(step, int) else f".{unescaped(step)}" for step in path]
    return "".join(steps).removeprefix(".")
