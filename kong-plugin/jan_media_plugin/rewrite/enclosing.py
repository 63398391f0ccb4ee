"""Whether ids stand at places of media, told by the few bytes before each of them.

In a body that is known to be JSON, what is before an id can be read backwards: the id is a whole
string, the key before it is whole, and so on upwards, to the last of the keys that a place names.
Keys below which nothing is media are searched for in all that is before the ids. What this way
does not tell, it leaves open.
"""

import bisect
import codecs
import functools
import re
from collections.abc import Sequence
from itertools import compress

from jan_media_plugin.rewrite.places import Keys, Places
from jan_media_plugin.rewrite.well_formed import end_of_first

_NEAREST = 48
_NEAR = 256
_MOST_BARRIERS = 16

# Patterns for bytes from the last to the first. A quote opens a string if something is before it,
# which comes after it here, and that is no backslash.
_SPACE = r"[ \t\n\r]*+"
_STRING = r'"[^"\\]{0,128}+"(?=[^\\])'
_SCALAR = r"[0-9A-Za-z+.-]{1,128}+"
_MEMBER = rf",{_SPACE}(?:{_STRING}|{_SCALAR}){_SPACE}:{_SPACE}{_STRING}{_SPACE}"
_KEY = re.compile(rf'{_SPACE}:{_SPACE}"([^"\\]{{0,128}}+)"(?=[^\\])'.encode())
_REST_OF_OBJECT = re.compile(rf"{_SPACE}(?>(?:{_MEMBER}){{0,16}}){{{_SPACE}".encode())
_BEGINNING = (b"", codecs.BOM_UTF8[::-1])

# What a plain key may have, as an escape. Clients escape quotes, <, > and & so.
_ESCAPED = re.compile(rb"\\u00(?:2[4deDE]|3[0-9aA]|4|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aA])")


def at_places(body: bytes, ids: Sequence[int], places: Places) -> list[bool] | None:
    """Return which of ``ids`` stand at ``places``, or None if this way does not tell.

    ``body`` is well-formed JSON in UTF-8, ``ids`` are the positions of the ids' opening quotes.
    """
    told = []
    for opening in ids:
        is_at_place = _as_before(body[max(0, opening - _NEAREST) : opening], places)
        if is_at_place is None:
            is_at_place = _has_keys_of_a_place(body[max(0, opening - _NEAR) : opening], places)
        if is_at_place is None:
            return None
        told.append(is_at_place)
    found = list(compress(ids, told))
    return None if found and _may_be_below(body, found, places) else told


def _has_keys_of_a_place(before: bytes, places: Places) -> bool | None:
    """Whether a string does that these bytes are right before, or None if they do not tell."""
    before = before[::-1]
    keys: Keys = ()
    position = 0
    while key := _KEY.match(before, position):
        keys = (key[1][::-1].decode(), *keys)
        if keys in places.tails:
            return True
        if keys not in places.ends_of_tails:
            return False
        rest = _REST_OF_OBJECT.match(before, key.end())
        if rest is None:
            break
        position = rest.end()
    return None


_as_before = functools.lru_cache(1024)(_has_keys_of_a_place)  # ids of one client stand alike


def _may_be_below(body: bytes, ids: Sequence[int], places: Places) -> bool:
    """Whether any of ``ids`` may stand below a key that is never to have media below it."""
    end = ids[-1]
    if places.barrier is None or (body.find(b"\\", 0, end) >= 0 and _ESCAPED.search(body, 0, end)):
        return True
    position = 0
    for _ in range(_MOST_BARRIERS):
        colon = places.barrier.search(body, position, end)
        if colon is None:
            return False
        if colon.lastindex is None:
            return True
        position = colon.end()
        next_id = ids[bisect.bisect(ids, position)]
        end_of_it = end_of_first(memoryview(body)[position:next_id])
        if end_of_it is not None:  # it is over before the next id
            position += end_of_it
            continue
        key = places.barriers[colon.lastindex - 1]
        if (key,) in places.never or not _is_at_the_top(body, position - len(f'"{key}":')):
            return True
    return True


def _is_at_the_top(body: bytes, key: int) -> bool:
    """Whether the object of this key is the whole body, and few simple members come before it."""
    before = body[max(0, key - _NEAR) : key][::-1]
    rest = _REST_OF_OBJECT.match(before)
    return rest is not None and len(before) == key and before[rest.end() :] in _BEGINNING
