"""Finding the media ids of a JSON body: exactly, and reading closely only what it must.

The body is walked once from its start, since only that tells whether a quote opens a string. Runs
of members without a candidate are taken in one match each; what is left to look at piece by piece
is the way to each candidate. A body that is not well-formed JSON in UTF-8 holds no media; a byte
order mark before it is allowed. If a key occurs twice, both values count.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from jan_media.media_id import parse_media_id

from jan_media_plugin.rewrite.candidates import Candidates
from jan_media_plugin.rewrite.grammar import (
    AFTER_VALUE,
    ELEMENTS,
    KEY,
    MEMBERS,
    SCALAR,
    SPACE,
    completes,
    is_small,
    small_value_end,
    string_end,
)
from jan_media_plugin.rewrite.places import Path, Places, unescaped

MAX_DEPTH = 500
MAX_STEPS = 100_000  # half a second at most; bodies of real clients take hundreds
# Elements of arrays are tried, whether they are small: messages, parts, tools. One that is not has
# been read in vain: none below this depth, so that a byte is read in vain a few times at most.
_SKIPPING_DEPTH = 4
_WORTH_SKIPPING = 256

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PLACEHOLDER = re.compile(r"data:[\w.+-]{1,64}/[\w.+-]{1,64};(jan_\w{26})", re.IGNORECASE)
_LONGEST_SPELLING = 6 * 180  # of a placeholder, every character an escape


@dataclass(frozen=True, slots=True)
class Found:
    """One id: it stands between the quotes of the string ``body[start:end]``."""

    start: int
    end: int
    media_id: str  # canonical


class TooComplex(Exception):
    """The body holds an id but is nested deeper, or has more parts, than is looked at."""


class _Malformed(Exception):
    """Not JSON."""


def find_media(body: bytes, places: Places) -> list[Found]:
    """Return the ids that stand at ``places``, in order. Raises `TooComplex`."""
    candidates = Candidates(body)
    if candidates.after(0) == len(body) or not (body.isascii() or _is_utf8(body)):
        return []
    try:
        return [found for found, _ in _walk(body, places, candidates, by_runs=True)]
    except _Malformed:
        return []


def name_place(body: bytes, places: Places, number: int) -> str | None:
    """Say where one of the ids of `find_media` stands: ``messages[0].content[1].image_url.url``.

    For error messages: it looks at every element on the way. None if those are too many.
    """
    walked = _walk(body, places, Candidates(body), by_runs=False)
    try:
        return _spell(next(itertools.islice(walked, number, None))[1])
    except TooComplex:
        return None


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _walk(
    body: bytes, places: Places, candidates: Candidates, *, by_runs: bool
) -> Iterator[tuple[Found, Path]]:
    """Yield each id with the path to it; positions in arrays are true only without runs.

    Raises `_Malformed` or `TooComplex` on reaching the place that is so.
    """
    path: list[bytes | int] = []  # one entry for each open object or array
    candidate = candidates.after(0)
    position = SPACE.match(body, 3 if body.startswith(_BYTE_ORDER_MARK) else 0).end()  # type: ignore[union-attr]
    for _ in range(MAX_STEPS):
        # A value begins here.
        opening = body[position : position + 1]
        if opening == b'"':
            end = string_end(body, position)
            if end < 0:
                raise _Malformed
            if candidate < end:
                media_id = _media_id(body[position + 1 : end - 1])
                if media_id and places.have(tuple(path)):
                    yield Found(position + 1, end - 1, media_id), tuple(path)
                candidate = candidates.after(end)
            position = end
        elif (
            by_runs
            and (opening == b"{" or opening == b"[")
            and candidate - position > _WORTH_SKIPPING
            and 0 < len(path) <= _SKIPPING_DEPTH
            and type(path[-1]) is int
            and (end := small_value_end(body, position, candidate)) > 0
        ):
            position = end
        elif opening == b"{" or opening == b"[":
            position = SPACE.match(body, position + 1).end()  # type: ignore[union-attr]
            closing = body[position : position + 1]
            if closing != (b"}" if opening == b"{" else b"]"):
                if len(path) == MAX_DEPTH:
                    raise TooComplex(f"nested deeper than {MAX_DEPTH}")
                path.append(b"" if opening == b"{" else 0)
                if opening == b"{":
                    position, candidate = _enter_member(
                        body, position, path, candidates, candidate, by_runs
                    )
                elif by_runs:
                    position = ELEMENTS.match(body, position, candidate).end()  # type: ignore[union-attr]
                continue
            position += 1
        else:
            scalar = SCALAR.match(body, position)
            if scalar is None:
                raise _Malformed
            position = scalar.end()

        # A value has ended here. If nothing more can be an id, all that matters of the rest is
        # whether it is well-formed.
        if by_runs and candidate == len(body) and is_small(len(body) - position):
            if _is_completed_by(path, body[position:]):
                return
            raise _Malformed
        # Otherwise close what ends with it, then go to the next one.
        while True:
            if not path:
                if SPACE.match(body, position).end() != len(body):  # type: ignore[union-attr]
                    raise _Malformed
                return
            after = AFTER_VALUE.match(body, position)
            if after is None:
                raise _Malformed
            in_array = type(path[-1]) is int
            mark = after[1]
            if mark == b",":
                position = after.end()
                break
            if (mark == b"]") is not in_array:
                raise _Malformed
            position = after.end(1)
            path.pop()
        if not in_array:
            position, candidate = _enter_member(
                body, position, path, candidates, candidate, by_runs
            )
        elif by_runs:
            position = ELEMENTS.match(body, position, candidate).end()  # type: ignore[union-attr]
        else:
            path[-1] += 1  # type: ignore[operator]
    raise TooComplex(f"of more than {MAX_STEPS} parts")


def _enter_member(
    body: bytes,
    position: int,
    path: list[bytes | int],
    candidates: Candidates,
    candidate: int,
    by_runs: bool,
) -> tuple[int, int]:
    """Read a key into ``path``, skipping members without a candidate; return where its value is."""
    if by_runs:
        position = MEMBERS.match(body, position, candidate).end()  # type: ignore[union-attr]
    key = KEY.match(body, position)
    if key is None:
        raise _Malformed
    path[-1] = key[1][1:-1]
    position = key.end()
    if candidate < position:
        candidate = candidates.after(position)
    return position, candidate


def _is_completed_by(path: list[bytes | int], rest: bytes) -> bool:
    openings = b"".join([b"[" if type(step) is int else b'{"":' for step in path])
    try:
        return completes(openings, rest)
    except RecursionError:
        raise TooComplex(f"nested deeper than {MAX_DEPTH}") from None


def _media_id(spelled: bytes) -> str | None:
    """The canonical id, if that is what a string of these raw bytes says, whole."""
    if len(spelled) > _LONGEST_SPELLING:
        return None
    text = unescaped(spelled)
    media_id = parse_media_id(text)
    if media_id is None and (placeholder := _PLACEHOLDER.fullmatch(text)):
        return parse_media_id(placeholder[1])
    return media_id


def _spell(path: Path) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else f".{unescaped(step)}" for step in path]
    return "".join(steps).removeprefix(".")
