"""An upload's JSON body, read while it arrives, with its data URL streamed out of it.

The string at ``source.data_url`` may be megabytes long; everything else is small. So one pass over
the bytes finds that string by its path and hands it on piece by piece, unescaped; the rest is kept
and goes to the standard `json` module when the body ends, which is what decides about validity.
Memory is bounded by ``max_json_bytes`` and one block, whatever the body's size.
"""

import codecs
import json
import re
from collections.abc import Callable
from typing import Any, Final

MAX_DEPTH = 32
_BLOCK = 64 * 1024

# Everything up to the next byte that means something for the structure.
_FILLER = re.compile(rb'[^"{}\[\],:]*')
# The inside of a string: plain bytes and whole escapes. Half of a surrogate pair is one escape
# too, once it is known that the other half does not follow.
# An atomic group, since Python before 3.11.5 repeats a group possessively in a wrong way; of so
# many turns, since it keeps some bytes for each until it ends.
_INSIDE = re.compile(
    rb"(?>(?:[^\"\\\x00-\x1f]++"
    rb'|\\["\\/bfnrt]'
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\u(?![dD][89abAB])[0-9a-fA-F]{4}"
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}(?=[^\\]|\\[^u]|\\u[^dD]|\\u[dD][^c-fC-F])"
    rb"){0,1000})"
)
_ESCAPES = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.")
_LONGEST_ESCAPE = 12  # a surrogate pair
_LONGEST_KEY = len("data_url") * 6  # every character written as \uXXXX
_CONTROLS = bytes(range(32))


class InvalidJson(Exception):
    """The body is not a JSON document that is taken here; ``message`` says why."""

    code = "invalid_json"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class _Streamed:
    """The type of `STREAMED`."""

    def __repr__(self) -> str:
        return "STREAMED"


STREAMED: Final = _Streamed()
"""Stands at ``document["source"]["data_url"]`` for the string that was handed on."""


class UploadBody:
    """Reads one JSON body; gives ``source.data_url`` to a callback as it comes."""

    def __init__(self, max_json_bytes: int, on_data_url: Callable[[bytes], None]) -> None:
        """``max_json_bytes`` limits everything but that one string."""
        self._max_json_bytes = max_json_bytes
        self._on_data_url = on_data_url
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._kept = bytearray()
        self._tail = b""  # the start of an escape whose end has not come yet
        self._open: list[int] = []  # the brackets around the current place
        self._keys: list[str | None] = []  # for each of them, the current key
        self._at_key = False  # the next string is a key
        self._key: bytearray | None = None  # the key being read, as written
        self._in_string = False
        self._streaming = False
        self._streamed = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. Raises `InvalidJson`, and whatever the callback raises."""
        for start in range(0, len(chunk), _BLOCK):
            block = chunk[start : start + _BLOCK]
            self._check_utf8(block)
            self._read(self._tail + block)

    def close(self) -> dict[str, Any]:
        """Return the document, `STREAMED` in the place of a string that was handed on.

        Raises `InvalidJson`.
        """
        self._check_utf8(b"", final=True)
        if self._tail or self._in_string:
            raise InvalidJson("The JSON body ends inside a string.")
        document = _parse(self._kept)
        if self._streamed:
            document["source"]["data_url"] = STREAMED
        return document

    def _check_utf8(self, block: bytes, *, final: bool = False) -> None:
        try:
            self._utf8.decode(block, final)
        except UnicodeDecodeError:
            raise InvalidJson("The JSON body is not valid UTF-8.") from None

    def _read(self, block: bytes) -> None:
        self._tail = b""
        place = 0
        while place < len(block):
            place = self._string(block, place) if self._in_string else self._structure(block, place)

    def _keep(self, piece: bytes) -> None:
        self._kept += piece
        if len(self._kept) > self._max_json_bytes:
            raise InvalidJson(
                f"The JSON body has more than {self._max_json_bytes} bytes besides its data URL."
            )

    # --- between strings

    def _structure(self, block: bytes, start: int) -> int:
        filler = _FILLER.match(block, start)
        place = filler.end() if filler else start
        self._keep(block[start : place + 1])
        if place == len(block):
            return place
        match block[place]:
            case 0x22:  # "
                self._begin_string()
            case 0x7B | 0x5B as bracket:  # { [
                self._enter(bracket)
            case 0x7D | 0x5D:  # } ]
                self._leave()
            case 0x2C:  # ,
                self._at_key = bool(self._open) and self._open[-1] == 0x7B
            case _:  # :
                self._at_key = False
        return place + 1

    def _enter(self, bracket: int) -> None:
        if len(self._open) == MAX_DEPTH:
            raise InvalidJson(f"The JSON body is nested deeper than {MAX_DEPTH} levels.")
        self._open.append(bracket)
        self._keys.append(None)
        self._at_key = bracket == 0x7B

    def _leave(self) -> None:
        if not self._open:
            raise InvalidJson("The JSON body closes a bracket that was never opened.")
        self._open.pop()
        self._keys.pop()
        self._at_key = False

    def _begin_string(self) -> None:
        self._in_string = True
        if self._at_key:
            self._key = bytearray()
        elif self._open == [0x7B, 0x7B] and self._keys == ["source", "data_url"]:
            if self._streamed:
                raise InvalidJson("The JSON body has source.data_url twice.")
            self._streaming = self._streamed = True

    # --- inside a string

    def _string(self, block: bytes, start: int) -> int:
        end = _end_of_pieces(block, start)
        piece = block[start:end]
        if self._streaming:
            if piece:
                self._on_data_url(_unescape(piece))
        else:
            self._keep(piece)
            if self._key is not None and len(self._key) <= _LONGEST_KEY:
                self._key += piece
        if end == len(block):
            return end
        if block[end] == 0x22:
            self._keep(b'"')
            self._end_string()
            return end + 1
        if block[end] == 0x5C and len(block) - end < _LONGEST_ESCAPE:
            self._tail = block[end:]
            return len(block)
        raise InvalidJson("The JSON body has an invalid escape or a control character in a string.")

    def _end_string(self) -> None:
        self._in_string = self._streaming = False
        if self._key is not None:
            self._keys[-1] = None
            if len(self._key) <= _LONGEST_KEY:
                self._keys[-1] = _unescape(bytes(self._key)).decode("utf-8", "surrogatepass")
            self._key = None


def _end_of_pieces(block: bytes, start: int) -> int:
    """Where the string's whole characters end: at its quote, at an escape that is not whole or
    not valid, or at the end of the block."""
    quote = block.find(b'"', start)
    end = len(block) if quote < 0 else quote
    # A long string is mostly base64: searches at memory speed spare it the slow pattern.
    if block.find(b"\\", start, end) < 0:
        piece = block[start:end]
        if not any(control in piece for control in _CONTROLS):
            return end
    end = start
    while (inside := _INSIDE.match(block, end)) and inside.end() > end:
        end = inside.end()
    return end


def _unescape(piece: bytes) -> bytes:
    """A string's bytes without JSON escapes; half of a surrogate pair stays half of one."""
    if b"\\\\" not in piece:
        piece = piece.replace(b"\\/", b"/")  # PHP writes base64 so
    return _ESCAPES.sub(_unescaped, piece) if b"\\" in piece else piece


def _unescaped(escapes: re.Match[bytes]) -> bytes:
    text: str = json.loads(b'"' + escapes[0] + b'"')
    return text.encode("utf-8", "surrogatepass")


def _parse(kept: bytearray) -> dict[str, Any]:
    try:
        document = json.loads(
            kept.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        raise InvalidJson(f"The body is not valid JSON: {error.msg}.") from None
    except (ValueError, RecursionError):
        raise InvalidJson("The JSON body has a number that is too long.") from None
    if not isinstance(document, dict):
        raise InvalidJson("The JSON body must be an object.")
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise InvalidJson("The JSON body has the same key twice in one object.")
    return made


def _refuse_constant(name: str) -> None:
    raise InvalidJson(f"The JSON body has {name}, which is not JSON.")
