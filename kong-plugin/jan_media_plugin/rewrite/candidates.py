"""Finds strings of a body that may name a medium, by searching for bytes, without parsing.

An id, a placeholder and a URL of ours all hold ``jan_`` in some case, each character plain or as
the escape ``\\u00XX``, and no quote. So the nearest quotes around it are those of its string, if
the body is JSON; `jan_media_plugin.rewrite.parsed` checks that.
"""

import functools
import json
import re
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from jan_media.media_id import PATTERN, parse_media_id

from jan_media_plugin.answers import Refused

# The most that a body may have of strings that look like names, and of places where a medium might
# begin. Each blocks the event loop for microseconds.
MOST_LOOKED_AT = 20_000
MOST_BEGINNINGS = 500_000
_LONGEST = 16 * 1024  # bytes of a string between its quotes: even an escaped signed URL has less
_ESCAPED = re.compile(rb"\\u00(?:[46][1ae]|5f)")  # a letter of ``jan_``, in hex

# Clients write anything as the type: ``undefined``, nothing, more parameters.
_PLACEHOLDER = re.compile(r"data:[^,]{0,200}?(?:;|;?base64,)\s*(jan_.*)", re.IGNORECASE | re.DOTALL)
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"  # characters that come along when people copy text
_LONGEST_AROUND_ID = 200  # characters: a longer text is not meant as an id
_URL = re.compile(r"https?://\S+", re.IGNORECASE | re.ASCII)

_IS_KEY = re.compile(rb'"[ \t\n\r]*:')
_ID_ANYWHERE = re.compile(PATTERN.pattern.lower().encode())


class TooComplex(Refused):
    """The body would take too long to read. ``how`` ends "A body with media ids cannot be"."""

    def __init__(self, how: str) -> None:
        message = f"A body with media ids cannot be {how}. Send a simpler one."
        super().__init__(400, "body_too_complex", message)


class Kind(Enum):
    """What a string is."""

    ID = "id"
    URL = "url"  # may be one of ours: the sidecar decides
    LOOK_ALIKE = "look-alike"  # begins like an id, or contains one, but is not one
    INLINE = "inline"  # the bytes of a medium


class Candidate(NamedTuple):
    """A string that may name a medium: ``body[start:end]`` between its quotes."""

    start: int
    end: int
    kind: Kind
    name: str  # the id, the URL, or the look-alike; for inline bytes the id, once stored


def candidates(body: bytes, beside: Sequence[Candidate] = ()) -> list[Candidate]:
    """Return every string that is an id, looks like one, or is a URL with one, in order.

    ``beside`` are strings without ids: megabytes that need not be searched. For a body that is not
    JSON in UTF-8, the result is meaningless. Raises `TooComplex`.
    """
    found: dict[int, Candidate] = {}
    looked_at = 0
    for offset, part in _parts_beside(body, beside):
        for at, end in _strings_hit(part):
            looked_at += 1
            if looked_at > MOST_LOOKED_AT:
                raise TooComplex(f"of more than {MOST_LOOKED_AT} strings that look like ids")
            start = part.rfind(b'"', max(0, end - _LONGEST), at) + 1
            # A quote after a backslash does not end the string: then it has more than a name.
            if start and b"\\" not in (part[start - 2 : start - 1], part[end - 1 : end]):
                named = _named(part[start:end])
                if named and not _IS_KEY.match(part, end):
                    found[offset + start] = Candidate(offset + start, offset + end, *named)
    return sorted(found.values())


def _parts_beside(body: bytes, some: Sequence[Candidate]) -> Iterator[tuple[int, bytes]]:
    """Yield the parts between ``some``, with the quotes around them, and their positions."""
    kept = 0
    for one in some:
        yield kept, body[kept : one.start]
        kept = one.end
    yield kept, body[kept:]


# The beginning of a string that may be the bytes of a medium: a data URL, or any string under a key
# that ends in ``data``.
_INLINE = re.compile(rb'"(?=data:)|data"[ \t\n\r]*:[ \t\n\r]*"(?!data:|")')


def inline_media(body: bytes, least: int) -> list[Candidate]:
    """Return each string of at least ``least`` characters that may be the bytes of a medium.

    That is a data URL, or base64 under a key that ends in ``data``. The result is in order. The
    strings themselves, which are megabytes, are not searched. Raises `TooComplex`.
    """
    found = []
    at, beginnings = body.find(b"data"), 0
    while at >= 0:
        beginnings += 1
        if beginnings > MOST_BEGINNINGS:
            raise TooComplex(f'with "data" in it more than {MOST_BEGINNINGS} times')
        opened = _INLINE.match(body, at) or _INLINE.match(body, max(0, at - 1))
        if opened is None:
            at = body.find(b"data", at + 1)
            continue
        end = body.find(b'"', opened.end())
        if end < 0:
            break
        is_escaped = b"\\" in (body[opened.start() - 1 : opened.start()], body[end - 1 : end])
        if end - opened.end() >= least and not is_escaped:
            found.append(Candidate(opened.end(), end, Kind.INLINE, ""))
        at = body.find(b"data", end)
    return found


def may_hold_id(body: bytes) -> bool:
    """Whether a text contains an id anywhere, in a string or not, also in UTF-16 or UTF-32."""
    return _ID_ANYWHERE.search(body.lower().replace(b"\0", b"")) is not None


def _strings_hit(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield where ``jan_``, or an escape of one of its letters, and the next quote are.

    Once before each quote: several hits before one quote are in one string.
    """
    lowered = body.lower()
    for hit in (re.compile(b"jan_"), _ESCAPED):
        at = 0
        while (found := hit.search(lowered, at)) and (end := body.find(b'"', found.start())) >= 0:
            yield found.start(), end
            at = end


@functools.lru_cache(1024)  # a conversation repeats its ids in each of its requests
def _named(spelled: bytes) -> tuple[Kind, str] | None:
    """Return what a string of these raw bytes names, ignoring white space around it."""
    try:
        text: str = json.loads(b'"%b"' % spelled) if b"\\" in spelled else spelled.decode()
    except ValueError:  # not a JSON string in UTF-8
        return None
    text = text.strip().strip(_INVISIBLE).strip()
    placeholder = _PLACEHOLDER.fullmatch(text)
    said = placeholder[1] if placeholder else text
    if media_id := parse_media_id(said):
        return Kind.ID, media_id
    if said[:4].lower() == "jan_":
        return Kind.LOOK_ALIKE, said[:80]
    if not PATTERN.search(text):
        return None
    if _URL.fullmatch(text):
        return Kind.URL, text
    # An id in quotes, after a word, or at the end of a path: no model can use it like this.
    # A URL of another scheme may belong to another storage.
    is_short = len(text) <= _LONGEST_AROUND_ID and "://" not in text
    return (Kind.LOOK_ALIKE, text[:80]) if is_short else None
