"""JSON's tokens (RFC 8259) as patterns over bytes, and ways to pass over what needs no look.

Every repetition is possessive, or in an atomic group, so that no input makes a pattern backtrack:
the time of a match is linear in what it consumes. Only single characters are repeated possessively:
for groups Python before 3.11.5 (Debian 12 has 3.11.2) does it wrongly, and atomic groups rightly.
"""

import re

from jan_media_plugin.rewrite.well_formed import is_value

_SPACE = r"[ \t\n\r]*+"
_ESCAPE = r"\\(?:[\"\\/bfnrt]|u[0-9a-fA-F]{4})"
_PLAIN = r"[^\"\\\x00-\x1f]"
_SCALAR = (
    r"(?:-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++|)(?:[eE][+-]?[0-9]++|)"  # a number
    r"|true|false|null)"
)
# A string that a run may hold: short, because a pattern reads bytes at a twentieth of the speed
# at which `string_end` skips them.
_SHORT = rf"\"(?>(?:{_PLAIN}{{1,256}}+|{_ESCAPE}){{0,64}})\""
_NEXT = rf"{_SPACE},{_SPACE}"
_MEMBER = rf"{_SHORT}{_SPACE}:{_SPACE}(?:{_SCALAR}|{_SHORT})"


def _compile(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode())


SPACE = _compile(_SPACE)
COLON = _compile(rf"{_SPACE}:{_SPACE}")
SCALAR = _compile(_SCALAR)
AFTER_VALUE = _compile(rf"{_SPACE}([,\]}}]){_SPACE}")
# An atomic group keeps some sixty bytes for each turn until it ends, so its turns are bounded.
MEMBERS = _compile(rf"(?>(?:{_MEMBER}{_NEXT}){{0,4096}})")
# Arrays of plain numbers, which may be long (tokens, audio, vectors), take the first two ways.
ELEMENTS = _compile(
    rf"(?>(?:[1-9][0-9]*+,{_SPACE}|0,{_SPACE}|{_SHORT}{_NEXT}|{_SCALAR}{_NEXT}){{0,4096}})"
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
