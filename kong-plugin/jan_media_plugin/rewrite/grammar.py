"""JSON's tokens (RFC 8259) as patterns over bytes, and ways to pass over what needs no look.

Every repetition is possessive, or in an atomic group, so that no input makes a pattern backtrack:
the time of a match is linear in what it consumes. Only single characters are repeated possessively:
for groups Python before 3.11.5 (Debian 12 has 3.11.2) does it wrongly, and atomic groups rightly.
"""

import json
import re
from typing import Any

from jan_media_plugin.rewrite.well_formed import is_value

_SPACE = r"[ \t\n\r]*+"
_ESCAPE = r"\\(?:[\"\\/bfnrt]|u[0-9a-fA-F]{4})"
_PLAIN = r"[^\"\\\x00-\x1f]"
_SCALAR = (
    r"(?:-?(?:0|[1-9][0-9]*+)(?>(?:\.[0-9]++)?)(?>(?:[eE][+-]?[0-9]++)?)"  # a number
    r"|true|false|null)"
)
# A string that a run may hold: short, because a pattern reads bytes at a twentieth of the speed
# at which `string_end` skips them.
_SHORT = rf"\"(?>(?:{_PLAIN}{{1,256}}+|{_ESCAPE}){{0,64}})\""
_SHORTER = rf"\"(?>(?:{_PLAIN}{{1,256}}+|{_ESCAPE}){{0,24}})\""
_NEXT = rf"{_SPACE},{_SPACE}"
_MEMBER = rf"{_SHORT}{_SPACE}:{_SPACE}(?:{_SCALAR}|{_SHORT})"
# Most messages of a chat are such objects. Long ones are read in vain here, so not far.
_FLAT_MEMBER = rf"{_SHORTER}{_SPACE}:{_SPACE}(?:{_SCALAR}|{_SHORTER})"
_FLAT = rf"\{{{_SPACE}(?>(?:{_FLAT_MEMBER}(?>(?:{_NEXT}{_FLAT_MEMBER})*))?){_SPACE}\}}"


def _compile(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode())


SPACE = _compile(_SPACE)
COLON = _compile(rf"{_SPACE}:{_SPACE}")
SCALAR = _compile(_SCALAR)
AFTER_VALUE = _compile(rf"{_SPACE}([,\]}}]){_SPACE}")
# An atomic group keeps some sixty bytes for each turn until it ends, so its turns are bounded.
MEMBERS = _compile(rf"(?>(?:{_MEMBER}{_NEXT}){{0,4096}})")
# Arrays of plain numbers, which may be long (tokens, audio, vectors), take the first way.
ELEMENTS = _compile(
    rf"(?>(?:[1-9][0-9]*+,{_SPACE}|(?:{_SCALAR}|{_SHORT}|{_FLAT}){_NEXT}){{0,4096}})"
)

_IN_STRING = _compile(rf"{_PLAIN}*+(?>(?:{_ESCAPE}{_PLAIN}*+){{0,4096}})(\"?)")
_CLOSING = _compile(r"\"(?<!\\\")")  # but for strings that end with a backslash
_LONG = 1024


def string_end(body: bytes, start: int) -> int:
    """Return the position after the string that opens at ``start``; -1 if it is malformed."""
    closing = _CLOSING.search(body, start + 1)
    end = closing.end() if closing else -1
    if end - start > _LONG and is_value(memoryview(body)[start:end]):
        return end
    position = start + 1
    while (match := _IN_STRING.match(body, position)) and match.end() > position:
        position = match.end()
        if match[1]:
            return position
    return -1


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


# `len` in place of int and float: the numbers are not wanted, and huge ones are slow to convert.
_DECODER: Any = json.JSONDecoder(parse_constant=_refuse, parse_int=len, parse_float=len)
_SMALL = 4096
_DEEPEST = 500  # how deep the decoder itself goes is another matter in each version of Python


def small_value_end(body: bytes, start: int, limit: int) -> int:
    """Return the position after the object or array at ``start``, if it is small; else -1.

    It must end before ``limit``. The standard library's scanner reads it, five times as fast as
    the patterns above. That takes text; as Latin-1 every byte is one character, and what it says
    of structure, quotes and escapes holds for UTF-8 too. A malformed value gives -1 as well.
    """
    piece = body[start : min(limit, start + _SMALL)]
    if most_nesting(piece) > _DEEPEST:
        return -1
    try:
        return start + int(_DECODER.scan_once(piece.decode("latin-1"), 0)[1])
    except (ValueError, StopIteration):
        return -1


def most_nesting(piece: bytes) -> int:
    """Return how many objects and arrays may at most be open at a time in it."""
    return piece.count(b"[") + piece.count(b"{")


def is_small(size: int) -> bool:
    """Whether so many bytes are few enough to be read by the standard library's scanner at once."""
    return size <= _SMALL


def completes(openings: bytes, rest: bytes) -> bool:
    """Whether ``rest`` goes on from a value inside of open objects and arrays, to the very end.

    ``openings`` opens them: ``[`` for an array, ``{"":`` for an object. Both are nested by a few
    hundred at most.
    """
    # A string stands for the value, since nothing can make a longer value of it.
    try:
        _DECODER.decode((openings + b'""' + rest).decode("latin-1"))
    except ValueError:
        return False
    return True
