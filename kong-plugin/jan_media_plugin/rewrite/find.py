"""Finding the media ids of a JSON body: exactly, and reading closely only what it must.

Strings that say an id are searched for first. Without any the body is not looked at further. Which
of them stand at places of media, the bytes before them tell, or, if they do not, a walk. A body
that is not well-formed JSON in UTF-8 holds no media; a byte order mark before it is allowed. If a
key occurs twice, both values count.
"""

import codecs
import itertools

from jan_media_plugin.rewrite.candidates import (
    MOST_LOOKED_AT,
    Found,
    TooManyLookAlikes,
    candidates,
)
from jan_media_plugin.rewrite.enclosing import at_places
from jan_media_plugin.rewrite.places import Places
from jan_media_plugin.rewrite.shortening import shortened
from jan_media_plugin.rewrite.walk import (
    MAX_STEPS,
    Malformed,
    TooComplex,
    only_at_places,
    spell,
    walk,
)
from jan_media_plugin.rewrite.well_formed import is_json

__all__ = ["TooComplex", "find_media", "name_place"]

_PIECE = 64 * 1024


def find_media(body: bytes, places: Places) -> list[Found]:
    """Return the ids that stand at ``places``, in order. Raises `TooComplex`."""
    try:
        ids = candidates(body, MAX_STEPS)
    except TooManyLookAlikes:
        raise TooComplex(f"of more than {MOST_LOOKED_AT} strings that look like ids") from None
    if not ids or not (body.isascii() or _is_utf8(body)):
        return []
    if len(ids) == MAX_STEPS:
        raise TooComplex(f"of more than {MAX_STEPS} parts")
    less, left_out = shortened(body, ids[0].start - 1)
    is_surely_json = is_json(less)
    if is_surely_json:
        told = at_places(less, [one.start - 1 - left_out for one in ids], places)
        if told is not None:
            return list(itertools.compress(ids, told))
    walked = walk(body, ids, by_runs=True)
    if is_surely_json:  # then it need not go to the end
        walked = itertools.islice(walked, len(ids))
    try:
        return [one for one, _ in only_at_places(walked, places)]
    except Malformed:
        return []


def name_place(body: bytes, places: Places, number: int) -> str | None:
    """Say where one of the ids of `find_media` stands: ``messages[0].content[1].image_url.url``.

    For error messages: it looks at every element on the way. None if those are too many.
    """
    walked = walk(body, candidates(body, MAX_STEPS), by_runs=False)
    try:
        _, path = next(itertools.islice(only_at_places(walked, places), number, None))
    except TooComplex:
        return None
    return spell(path)


def _is_utf8(body: bytes) -> bool:
    """By pieces: decoded text may take four times the room, and little room is found faster."""
    view, position = memoryview(body), 0
    try:
        while position < len(body):
            end = position + _PIECE
            position += codecs.utf_8_decode(view[position:end], "strict", end >= len(body))[1]
    except UnicodeDecodeError:
        return False
    return True
