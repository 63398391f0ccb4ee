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
from io import StringIO
from typing import Any, Final

from jan_media.errors import Refused

_BLOCK = 64 * 1024
_SHORT = 1024  # characters: a string is kept until it has more
_KEY = re.compile(r'data_url"\s*:\s*"')  # from the first character of the string before


class InvalidJson(Refused):
    """The body is not a JSON document that is taken here; ``message`` says why."""

    def __init__(self, message: str) -> None:
        super().__init__("invalid_json", message)


class _Streamed:
    """The type of `STREAMED`."""

    def __repr__(self) -> str:
        return "STREAMED"


STREAMED: Final = _Streamed()
"""Stands at ``document["source"]["data_url"]`` for a long string that was handed on."""


class UploadBody:
    """Reads one JSON body; gives a long ``source.data_url`` to a callback as it comes."""

    def __init__(self, max_json_bytes: int, on_data_url: Callable[[bytes], None]) -> None:
        """``max_json_bytes`` limits everything but that one string."""
        self._max_json_bytes = max_json_bytes
        self._on_data_url = on_data_url
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._kept = StringIO()
        self._mark = secrets.token_hex(16)
        self._tail = ""  # the start of an escape whose end has not come yet
        self._begin = 0  # where in the kept text the last string begins
        self._in_string = False
        self._behind_key = False  # the last string is the value of a key `data_url`
        self._streaming = self._streamed = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. Raises `InvalidJson`, and whatever the callback raises."""
        for start in range(0, len(chunk), _BLOCK):
            self._read(self._decoded(chunk[start : start + _BLOCK]))

    def close(self) -> dict[str, Any]:
        """Return the document, `STREAMED` in the place of a string that was handed on.

        Raises `InvalidJson`.
        """
        self._read(self._decoded(b"", final=True))
        if self._tail or self._in_string:
            raise InvalidJson("The JSON body ends inside a string.")
        document = _parse(self._kept.getvalue())
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
        text, self._tail = self._tail + text, ""
        place = 0
        while place < len(text):
            quote = text.find('"', place)
            while self._in_string and quote >= 0 and _is_escaped(text, place, quote):
                quote = text.find('"', quote + 1)
            end = quote if quote >= 0 else _end_of_whole(text, place)
            self._take(text[place:end])
            if quote < 0:
                self._tail = text[end:]
                return
            self._take_quote()
            place = quote + 1

    def _take_quote(self) -> None:
        self._kept.write('"')
        self._streaming = False
        self._in_string = not self._in_string
        if self._in_string:
            self._kept.seek(self._begin)
            self._behind_key = _KEY.fullmatch(self._kept.read()) is not None
            self._begin = self._kept.tell()

    def _take(self, piece: str) -> None:
        if self._streaming:
            self._hand_on(piece)
            return
        self._kept.write(piece)
        is_long = self._in_string and self._kept.tell() - self._begin > _SHORT
        if is_long and self._behind_key and not self._streamed:
            self._streaming = self._streamed = True
            self._kept.seek(self._begin)
            string = self._kept.read()
            self._kept.seek(self._begin)
            self._kept.truncate()
            self._kept.write(self._mark)
            self._hand_on(string)
        if self._kept.tell() > self._max_json_bytes:
            raise self._too_much()

    def _hand_on(self, piece: str) -> None:
        text: str = _load(f'"{piece}"')
        self._on_data_url(text.encode("utf-8", "surrogatepass"))

    def _too_much(self) -> InvalidJson:
        return InvalidJson(
            f"The JSON body has more than {self._max_json_bytes} bytes besides its data URL."
        )


def _is_escaped(text: str, start: int, place: int) -> bool:
    """Whether the character at ``place`` ends an escape that begins at ``start`` or later."""
    first = place
    while first > start and text[first - 1] == "\\":
        first -= 1
    return (place - first) % 2 == 1


def _end_of_whole(text: str, start: int) -> int:
    """Where the last escape begins if its end has not come yet, else the end of ``text``."""
    last = text.rfind("\\", max(start, len(text) - 5))
    is_cut = last >= 0 and text[last + 1 : last + 2] in ("", "u")
    return last if is_cut and not _is_escaped(text, start, last) else len(text)


def _parse(text: str) -> dict[str, Any]:
    document = _load(text)
    if not isinstance(document, dict):
        raise InvalidJson("The JSON body must be an object.")
    return document


def _load(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
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
