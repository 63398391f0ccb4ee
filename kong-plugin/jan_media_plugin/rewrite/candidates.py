"""Strings of a body that say a media id, found at the speed of a memory search, without parsing.

An id or placeholder ends with the closing quote, and holds the four characters ``jan_`` in any
case, each of them plain or as the escape ``\\u00XX``. So two searches find them all: one for ``_``,
one for ``\\u00``. No such text holds a quote, so the nearest quote before it opens the string, if
what there is is JSON at all; whoever reads the rest tells that.
"""

import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from jan_media.media_id import parse_media_id

from jan_media_plugin.rewrite.places import unescaped

_PLACEHOLDER = re.compile(r"data:[\w.+-]{1,64}/[\w.+-]{1,64};(jan_\w{26})", re.IGNORECASE)
_MOST_CHARACTERS = 180  # of a placeholder with its quote
_LONGEST_SPELLING = 6 * _MOST_CHARACTERS  # each an escape

# Both patterns begin with literal bytes, which is what makes `re` fast: it looks for them and tries
# nothing elsewhere. Neither has anything to go back to, so no input makes it slow. Characters are
# read singly, which is slow, only where an escape comes after them.
_ESCAPE = r"\\u00[3-7][0-9A-Fa-f]"
_PLAIN = re.compile(
    rf"_(?<=[jJ][aA][nN]_)(?:[0-9A-Za-z]{{26}}"
    rf"|(?=[0-9A-Za-z]{{0,25}}+\\)(?:[0-9A-Za-z]|{_ESCAPE}){{26}})\"".encode()
)
_ESCAPED = re.compile(
    rf"\\u00(?:[46][aAeE1]|5[fF])(?=[0-9A-Za-z_]{{0,{_MOST_CHARACTERS}}}+(?:\"|{_ESCAPE}))"
    rf"(?:[0-9A-Za-z_]|{_ESCAPE}){{0,{_MOST_CHARACTERS}}}(\"?)".encode()
)
# A search for one byte (memchr) is some twenty times faster than any other per byte skipped, but
# slow per byte found. So where one was found, a window from there on is searched by other ways.
_WINDOW = 16384
# Of those a pattern that begins with ``_`` is the fastest, but not in code, which is full of it.
_SAMPLE, _OFTEN = 512, 8
# A string that looks like an id costs microseconds, and megabytes of them seconds of everybody's.
MOST_LOOKED_AT = 100_000


class TooManyLookAlikes(Exception):
    """The body holds more strings that look like ids than are looked at."""


class Found(NamedTuple):
    """One id: it stands between the quotes of the string ``body[start:end]``."""

    start: int
    end: int
    media_id: str  # canonical


def candidates(body: bytes, most: int) -> list[Found]:
    """Return each string that says an id, wherever it stands, in order; no more than ``most``.

    What it returns of a body that is not JSON in UTF-8 means nothing. Raises `TooManyLookAlikes`.
    """
    found: dict[int, Found] = {}
    for looked_at, (first, end) in enumerate(_ends(body)):
        if looked_at == MOST_LOOKED_AT:
            raise TooManyLookAlikes
        # Twice as long, because the letters of a media type may be pairs of escapes.
        start = body.rfind(b'"', max(0, end - 2 * _LONGEST_SPELLING), first) + 1
        # Behind a backslash it does not open the string, which then holds more than an id.
        if start and body[start - 2 : start - 1] != b"\\":
            media_id = _media_id(body[start : end - 1])
            if media_id:
                found[start] = Found(start, end - 1, media_id)
                if len(found) == most:
                    break
    return sorted(found.values())


def _ends(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield where some of ``jan_`` may stand, and the end of the string; some of them twice."""
    at = body.find(b"_")
    while at >= 0:
        stop = at + _WINDOW
        is_code = body.count(b"_", at, at + _SAMPLE) > _OFTEN
        if not is_code or body[max(0, at - 3) : stop].lower().rfind(b"jan_") >= 0:
            for match in _PLAIN.finditer(body, at, stop + _LONGEST_SPELLING):
                yield match.span()
        at = body.find(b"_", stop)
    at = body.find(b"\\")
    while at >= 0:
        stop = at + _WINDOW
        if body.rfind(b"\\u00", at, stop + 3) >= 0:
            for match in _ESCAPED.finditer(body, at, stop + _LONGEST_SPELLING):
                if match[1]:
                    yield match.span()
        at = body.find(b"\\", stop)


@functools.lru_cache(1024)  # a conversation says its ids again in each of its requests
def _media_id(spelled: bytes) -> str | None:
    """The canonical id, if that is what a string of these raw bytes says, whole."""
    try:
        text = unescaped(spelled)
    except ValueError:  # no string of JSON in UTF-8
        return None
    media_id = parse_media_id(text)
    if media_id is None and (placeholder := _PLACEHOLDER.fullmatch(text)):
        return parse_media_id(placeholder[1])
    return media_id
