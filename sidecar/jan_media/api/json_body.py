"""The JSON body of an upload, read while it arrives, with its data URL streamed out of it.

The string at ``source.data_url`` may be megabytes long; everything else is small. So a long string
after a key ``data_url`` is decoded piece by piece, and a random mark takes its place. When the body
ends, the standard `json` module parses the rest: it decides whether the document is valid, and
where the mark is. Memory is bounded by `FIELDS` and one block, whatever the body's size.
"""

import codecs
import json
import re
import secrets
from typing import Any

from starlette.requests import Request

from jan_media.api.bodies import RawBody, text_field
from jan_media.content.data_url import DataUrlDecoder
from jan_media.errors import Refused
from jan_media.library.spool import Spool

FIELDS = 64 * 1024  # bytes of everything but that one string
_DATA_URL = "source.data_url"
_BLOCK = 64 * 1024
_SHORT = 1024  # characters: only longer strings are streamed
# A key `data_url` and its value's opening quote. Inside a string, these quotes would be escaped.
_KEY = re.compile(r'(?<!\\)"data_url"\s*:\s*"')


def invalid_json(message: str) -> Refused:
    """The refusal of a body that is not valid JSON, or not supported."""
    return Refused("invalid_json", message)


class JsonBody(RawBody):
    """A JSON object with the file as a data URL, or with the URL where it is to be fetched."""

    param: str | None = _DATA_URL
    growth, beside = 1.5, FIELDS  # base64 makes 4 bytes of 3; escapes and line ends add some

    def __init__(self, request: Request, spool: Spool) -> None:
        super().__init__(request, spool)
        self.param = None  # until it is known where the file is
        self._decoder = DataUrlDecoder(spool.max_bytes)
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._kept = ""
        self._mark = secrets.token_hex(16)
        self.streamed = False  # the long string has begun, and may have ended
        self._escape: str | None = None  # inside that string: an escape that may be cut off, or ""

    def feed(self, piece: bytes) -> None:
        for start in range(0, len(piece), _BLOCK):
            self._read(self._decoded(piece[start : start + _BLOCK]))

    def take(self, piece: bytes) -> None:
        """Take the next bytes of the data URL. Raises `Refused`."""
        try:
            self.spool.write(self._decoder.feed(piece))
        except Refused as refusal:
            raise refusal.at(_DATA_URL) from None

    def close(self) -> dict[str, Any]:
        document = self.document()
        source = document.get("source")
        if source is None:
            raise Refused("missing_field", "source is required", "source")
        if not isinstance(source, dict):
            raise Refused("invalid_field", "source must be an object", "source")
        kind = text_field(source, "type", at="source.type")
        if kind == "remote_url":
            self.url = text_field(source, "url", at="source.url")
            self.param = "source.url"
            if source.get("data_url") is not None:
                raise Refused("invalid_field", "A remote_url source has no data_url", _DATA_URL)
        elif kind == "data_url":
            self.param = _DATA_URL
            if not self.streamed:
                short = text_field(source, "data_url", at=_DATA_URL)
                self.take(short.encode("utf-8", "surrogatepass"))
            self._decoder.close()
        else:
            raise Refused(
                "invalid_source_type", "source.type must be remote_url or data_url", "source.type"
            )
        return document

    def document(self) -> dict[str, Any]:
        """Finish after the last piece; returns the object, with the mark in place of a string that
        was streamed. Raises `Refused`."""
        self._read(self._decoded(b"", final=True))
        document = _load(self._kept)
        if not isinstance(document, dict):
            raise invalid_json("The JSON body must be an object.")
        if self.streamed:
            source = document.get("source")
            if not isinstance(source, dict) or source.get("data_url") != self._mark:
                raise _too_much()
        return document

    def _decoded(self, chunk: bytes, *, final: bool = False) -> str:
        try:
            return self._utf8.decode(chunk, final)
        except UnicodeDecodeError:
            raise invalid_json("The JSON body is not valid UTF-8.") from None

    def _read(self, text: str) -> None:
        self._kept += text if self._escape is None else self._hand_on(self._escape + text)
        begin = None if self.streamed else _long_data_url(self._kept)
        if begin is not None:
            self.streamed = True
            string = self._kept[begin:]
            self._kept = self._kept[:begin] + self._mark
            self._kept += self._hand_on(string)
        if len(self._kept) > FIELDS:
            raise _too_much()

    def _hand_on(self, text: str) -> str:
        """Take ``text`` as the next part of the long string; returns what follows that string."""
        end = _end_of_string(text, 0)
        whole, rest = _whole_characters(text) if end < 0 else (text[:end], text[end:])
        characters: str = _load(f'"{whole}"')
        self.take(characters.encode("utf-8", "surrogatepass"))
        self._escape, follows = (rest, "") if end < 0 else (None, rest)
        return follows


def _too_much() -> Refused:
    return invalid_json(f"The JSON body has more than {FIELDS} bytes besides its data URL.")


def _long_data_url(text: str) -> int | None:
    """Where the first long string after a key `data_url` begins."""
    for key in _KEY.finditer(text):
        end = _end_of_string(text, key.end())
        if (end if end >= 0 else len(text)) - key.end() > _SHORT:
            return key.end()
    return None


def _end_of_string(text: str, start: int) -> int:
    """The index of the quote that ends the string around ``start``, or -1."""
    quote = text.find('"', start)
    while quote >= 0 and _is_escaped(text, start, quote):
        quote = text.find('"', quote + 1)
    return quote


def _is_escaped(text: str, start: int, place: int) -> bool:
    """Whether a backslash at ``start`` or later escapes the character at ``place``."""
    first = place
    while first > start and text[first - 1] == "\\":
        first -= 1
    return (place - first) % 2 == 1


def _whole_characters(text: str) -> tuple[str, str]:
    """Split ``text`` before an escape at its end, which may be cut off."""
    last = text.rfind("\\", max(0, len(text) - 5))
    end = len(text) if last < 0 or _is_escaped(text, 0, last) else last
    return text[:end], text[end:]


def _load(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        if error.msg.startswith("Unterminated string"):
            raise invalid_json("The JSON body ends inside a string.") from None
        raise invalid_json(f"The body is not valid JSON: {error.msg}.") from None
    except RecursionError:
        raise invalid_json("The JSON body is nested too deep.") from None
    except ValueError:
        raise invalid_json("The JSON body has a number that is too long.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise invalid_json("The JSON body has the same key twice in one object.")
    return made


def _refuse_constant(name: str) -> None:
    raise invalid_json(f"The JSON body has {name}, which is not JSON.")
