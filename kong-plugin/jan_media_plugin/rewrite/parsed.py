"""Finds where the candidates of a body are: replaces each by a mark, parses the body, and looks for
the marks in the result.

A fast parser is enough for nearly every body. The standard library's parser handles what that one
refuses and model servers accept: NaN, half a surrogate pair, raw control characters, bytes that are
not UTF-8, and keys that occur twice, of which both values count.
"""

import gc
import itertools
import json
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from jan_media_plugin.exchange import Edit, edited
from jan_media_plugin.rewrite.candidates import Candidate, TooComplex
from jan_media_plugin.rewrite.places import Places, Way

# The most in a body with an id: each blocks the event loop for a microsecond.
MOST_CONTAINERS = 100_000
MOST_ELEMENTS = 500_000
_MOST_TOKENS = 3 * (MOST_CONTAINERS + MOST_ELEMENTS)
_TOKEN = re.compile(rb'"[^"]*+(?:"|\Z)|(?P<container>[{\[])|(?P<element>,)')
_MARK = f"{secrets.token_hex(16)}:"  # no client can guess it


class NotJson(Exception):
    """The body is not JSON, not even leniently read."""


class Standing(NamedTuple):
    """A candidate at a place of media."""

    candidate: Candidate
    way: Way


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, keys that occur twice included."""


_CONTAINERS = frozenset((dict, list, _Pairs))


def at_places(body: bytes, found: Sequence[Candidate], places: Places) -> list[Standing]:
    """Return those of ``found`` that are at ``places``, in order.

    Raises `NotJson` and `TooComplex`.
    """
    marks = [Edit(one.start, one.end, f"{_MARK}{n}".encode()) for n, one in enumerate(found)]
    marked = edited(body, marks)
    if _is_large(marked):
        raise TooComplex(f"of more than {MOST_CONTAINERS} objects or {MOST_ELEMENTS} parts")
    gc.disable()  # a parse makes no garbage, and a collection would take a third of the time
    try:
        try:
            seen, standing = _looked_through(msgspec.json.decode(marked), found, places)
        except (msgspec.DecodeError, UnicodeDecodeError):
            seen = -1
        if seen < len(found):  # or a key occurs twice, and a mark was in the replaced value
            _, standing = _looked_through(_parsed_leniently(marked), found, places)
    except RecursionError:
        raise TooComplex("nested so deeply") from None
    finally:
        gc.enable()
    return sorted(standing)


def _is_large(text: bytes) -> bool:
    """Whether a JSON text has too many parts. The contents of strings do not count."""
    containers, elements = text.count(b"{") + text.count(b"["), text.count(b",")
    if containers <= MOST_CONTAINERS and elements <= MOST_ELEMENTS:
        return False
    tokens = itertools.islice(_TOKEN.finditer(without_escaped_quotes(text)), _MOST_TOKENS)
    counts = Counter(token.lastgroup for token in tokens)
    return (
        counts["container"] > MOST_CONTAINERS
        or counts["element"] > MOST_ELEMENTS
        or counts.total() == _MOST_TOKENS
    )


def without_escaped_quotes(text: bytes) -> bytes:
    """Return JSON of the same length in which a quote always begins or ends a string.

    A pattern that skips escapes would store a backtracking point for each: gigabytes.
    """
    return text.replace(rb"\\", b"..").replace(rb"\"", b"..")


def _parsed_leniently(marked: bytes) -> Any:
    try:
        # Numbers may have more digits than Python turns into an integer.
        return json.loads(
            marked.decode("utf-8", "surrogateescape"),
            strict=False,
            parse_int=float,
            object_pairs_hook=_Pairs,
        )
    except ValueError:
        raise NotJson from None


def _looked_through(
    root: Any, found: Sequence[Candidate], places: Places
) -> tuple[int, list[Standing]]:
    """Return the number of marks below ``root``, and the candidates at places."""
    seen, standing = 0, []
    if isinstance(root, str):
        return 1, []
    pending = [(root, places.root, None)]
    while pending:
        container, way, holder_type = pending.pop()
        steps: Iterable[tuple[str | int, Any]] = ()
        if isinstance(container, dict):
            steps, holder_type = container.items(), container.get("type")
        elif isinstance(container, _Pairs):
            steps, holder_type = container, dict(container).get("type")
        elif isinstance(container, list):
            steps = enumerate(container)
        for step, value in steps:
            if value.__class__ is str:
                if value.startswith(_MARK):
                    seen += 1
                    there = places.further(way, step)
                    if places.have(there, holder_type):
                        standing.append(Standing(found[int(value[len(_MARK) :])], there))
            elif value.__class__ in _CONTAINERS:
                pending.append((value, places.further(way, step), holder_type))
    return seen, standing
