"""An upload's JSON body, read while it arrives, with its data URL streamed out of it.

The string at ``source.data_url`` may be megabytes long; everything else is small. So a long string
behind a key ``data_url`` is handed on piece by piece, and a mark is kept in its place. The rest
goes to the standard `json` module when the body ends. That decides what is valid, and where the
mark stands. Memory is bounded by ``max_json_bytes`` and one block, whatever the body's size.
"""

import codecs
import json
import re
import secrets
from collections.abc import Callable
from typing import Any, Final

from jan_media.errors import Refused

_BLOCK = 64 * 1024
_SHORT = 1024  # characters: a string is kept unless it has more
# A key `data_url` and the quote that its string begins with. In a string, quotes have a backslash.
_KEY = re.compile(r'(?<!\\)"data_url"\s*:\s*"')


class InvalidJson(Refused):
    """The body is not a JSON document that is taken here; ``message`` says why."""

    def __init__(self, message: str) -> None:
        super().__init__("invalid_json", message)


STREAMED: Final = object()
"""Stands at ``document["source"]["data_url"]`` for a long string that was handed on."""


class UploadBody:
    """Reads one JSON body; gives a long ``source.data_url`` to a callback as it comes."""

    def __init__(self, max_json_bytes: int, on_data_url: Callable[[bytes], None]) -> None:
        """``max_json_bytes`` limits everything but that one string."""
        self._max_json_bytes = max_json_bytes
        self._on_data_url = on_data_url
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._kept = ""
        self._mark = secrets.token_hex(16)
        self._streamed = False  # the long string has begun, and may have ended
        self._escape: str | None = None  # inside it: an escape that may be cut off, or ""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. Raises `InvalidJson`, and whatever the callback raises."""
        for start in range(0, len(chunk), _BLOCK):
            self._read(self._decoded(chunk[start : start + _BLOCK]))

    def close(self) -> dict[str, Any]:
        """Return the document, `STREAMED` in the place of a string that was handed on.

        Raises `InvalidJson`.
        """
        self._read(self._decoded(b"", final=True))
        document = _load(self._kept)
        if not isinstance(document, dict):
            raise InvalidJson("The JSON body must be an object.")
        if self._streamed:
            source = document.get("source")
            if not isinstance(source, dict) or source.get("data_url") != self._mark:
                raise self._too_much()
            source["data_url"] = STREAMED
        return document

    def _decoded(self, chunk: bytes, *, final: bool = False) -> str:
        try:
            return self._utf8.decode(chunk, final)
        except UnicodeDecodeError:
            raise InvalidJson("The JSON body is not valid UTF-8.") from None

    def _read(self, text: str) -> None:
        self._kept += text if self._escape is None else self._hand_on(self._escape + text)
        begin = None if self._streamed else _long_data_url(self._kept)
        if begin is not None:
            self._streamed = True
            string = self._kept[begin:]
            self._kept = self._kept[:begin] + self._mark
            self._kept += self._hand_on(string)
        if len(self._kept) > self._max_json_bytes:
            raise self._too_much()

    def _hand_on(self, text: str) -> str:
        """Hand on the string that goes on with ``text``; returns what follows it."""
        end = _end_of_string(text, 0)
        whole, rest = _whole_characters(text) if end < 0 else (text[:end], text[end:])
        characters: str = _load(f'"{whole}"')
        self._on_data_url(characters.encode("utf-8", "surrogatepass"))
        self._escape, follows = (rest, "") if end < 0 else (None, rest)
        return follows

    def _too_much(self) -> InvalidJson:
        return InvalidJson(
            f"The JSON body has more than {self._max_json_bytes} bytes besides its data URL."
        )


def _long_data_url(text: str) -> int | None:
    """Where the first long string behind a key `data_url` begins."""
    for key in _KEY.finditer(text):
        end = _end_of_string(text, key.end())
        if (end if end >= 0 else len(text)) - key.end() > _SHORT:
            return key.end()
    return None


def _end_of_string(text: str, start: int) -> int:
    """Where the quote is that ends the string which ``start`` is in, or -1."""
    quote = text.find('"', start)
    while quote >= 0 and _is_escaped(text, start, quote):
        quote = text.find('"', quote + 1)
    return quote


def _is_escaped(text: str, start: int, place: int) -> bool:
    """Whether the character at ``place`` ends an escape that begins at ``start`` or later."""
    first = place
    while first > start and text[first - 1] == "\\":
        first -= 1
    return (place - first) % 2 == 1


def _whole_characters(text: str) -> tuple[str, str]:
    """``text`` before and from an escape at its end, which may be cut off."""
    last = text.rfind("\\", max(0, len(text) - 5))
    end = len(text) if last < 0 or _is_escaped(text, 0, last) else last
    return text[:end], text[end:]


def _load(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        if error.msg.startswith("Unterminated string"):
            raise InvalidJson("The JSON body ends inside a string.") from None
        raise InvalidJson(f"The body is not valid JSON: {error.msg}.") from None
    except RecursionError:
        raise InvalidJson("The JSON body is nested too deep.") from None
    except ValueError:
        raise InvalidJson("The JSON body has a number that is too long.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise InvalidJson("The JSON body has the same key twice in one object.")
    return made


def _refuse_constant(name: str) -> None:
    raise InvalidJson(f"The JSON body has {name}, which is not JSON.")
