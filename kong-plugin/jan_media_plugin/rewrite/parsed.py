"""Where the candidates of a body stand: each is replaced by a mark, the body parsed, and the marks
looked for in what comes out.

A fast parser does it for nearly every body. The standard library's takes what that one refuses and
model servers accept: NaN, half a surrogate pair, raw control characters, bytes that are not UTF-8,
and keys that occur twice, of which both values count.
"""

import json
import secrets
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from jan_media_plugin.rewrite.candidates import Candidate, TooComplex
from jan_media_plugin.rewrite.places import Places, Way

# What a body may have at most, beside an id: each costs some hundred nanoseconds of everybody.
MOST_CONTAINERS = 300_000
MOST_ELEMENTS = 3_000_000
_MARK = f"{secrets.token_hex(16)}:"  # no client can know it


class NotJson(Exception):
    """The body is not JSON, in whatever spelling."""


class Standing(NamedTuple):
    """A candidate at a place of media."""

    candidate: Candidate
    way: Way


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, keys that occur twice included."""


def at_places(body: bytes, found: Sequence[Candidate], places: Places) -> list[Standing]:
    """Return those of ``found`` that stand at ``places``, in order.

    Raises `NotJson` and `TooComplex`.
    """
    marked = _with_marks(body, found)
    containers = marked.count(b"{") + marked.count(b"[")
    if containers > MOST_CONTAINERS or marked.count(b",") > MOST_ELEMENTS:
        raise TooComplex(f"of more than {MOST_CONTAINERS} parts")
    try:
        seen, standing = _looked_through(_parsed(marked), found, places)
        if seen < len(found):  # a key occurs twice, and a mark was in the value that gave way
            _, standing = _looked_through(_parsed_by_pairs(marked), found, places)
    except RecursionError:
        raise TooComplex("nested so deeply") from None
    return sorted(standing)


def _with_marks(body: bytes, found: Sequence[Candidate]) -> bytes:
    pieces, kept = [], 0
    for number, one in enumerate(found):
        pieces += [body[kept : one.start], f"{_MARK}{number}".encode()]
        kept = one.end
    return b"".join([*pieces, body[kept:]])


def _parsed(marked: bytes) -> Any:
    try:
        return msgspec.json.decode(marked)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _parsed_leniently(marked, None)


def _parsed_by_pairs(marked: bytes) -> Any:
    return _parsed_leniently(marked, _Pairs)


def _parsed_leniently(marked: bytes, pairs: type[_Pairs] | None) -> Any:
    try:
        # Numbers may have more digits than Python turns into an integer.
        return json.loads(
            marked.decode("utf-8", "surrogateescape"),
            strict=False,
            parse_int=float,
            object_pairs_hook=pairs,
        )
    except ValueError:
        raise NotJson from None


def _looked_through(
    root: Any, found: Sequence[Candidate], places: Places
) -> tuple[int, list[Standing]]:
    """Return how many marks there are below ``root``, and what stands at places."""
    seen, standing = 0, []
    if isinstance(root, str):
        return 1, []
    pending = [(root, places.root, None)]
    while pending:
        container, way, outer_type = pending.pop()
        is_object = isinstance(container, dict | _Pairs)
        holder_type = _type_of(container) if is_object else outer_type
        for step, value in _items(container):
            if isinstance(value, str):
                if value.startswith(_MARK):
                    seen += 1
                    there = places.further(way, step)
                    if places.have(there, holder_type):
                        standing.append(Standing(found[int(value[len(_MARK) :])], there))
            elif isinstance(value, dict | list):
                pending.append((value, places.further(way, step), holder_type))
    return seen, standing


def _items(container: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(container, dict):
        return iter(container.items())
    if isinstance(container, _Pairs):
        return iter(container)
    return iter(enumerate(container)) if isinstance(container, list) else iter(())


def _type_of(container: Any) -> Any:
    if isinstance(container, dict):
        return container.get("type")
    return next((value for key, value in container if key == "type"), None)
