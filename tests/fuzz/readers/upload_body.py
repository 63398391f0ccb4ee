"""The JSON body of an upload is read in pieces as the standard library reads it whole."""

import json
from typing import Any

from jan_media.errors import Refused

from tests.fuzz.readers.pieces import in_pieces, leading
from tests.support.upload_bodies import AnyJson

WORDS = [
    *(b'{"source":{"data_url":"', b'"source"', b'"data_url"', b'"type"', b"true", b"null"),
    *(
        b"\\u00",
        b"\\ud83d\\ude00",
        b"\\ud8",
        b'\\"',
        b"[[[[[[[[",
        b"NaN",
        b"1e5",
        b"-0",
        b"\xc3\xbc",
    ),
]
_MOST_BYTES = 4096


def read(body: bytes, size: int) -> dict[str, Any] | None:
    """The document, with what was handed on in its place; None if it is refused."""
    reader = AnyJson()
    try:
        for piece in in_pieces(body, size):
            reader.feed(piece)
        document = reader.document()
    except Refused:
        return None
    if reader.streamed:
        document["source"]["data_url"] = reader.taken.decode("utf-8", "surrogatepass")
    else:
        assert not reader.taken
    return document


class _NotTaken(Exception):
    """Not JSON, or not JSON that is taken."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise _NotTaken
    return dict(pairs)


def _refuse(constant: str) -> None:
    raise _NotTaken(constant)


def read_whole(body: bytes) -> dict[str, Any] | None:
    """The same by the standard library and two rules of ours; None if it is refused."""
    try:
        document = json.loads(
            body.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_refuse
        )
    except (ValueError, RecursionError, _NotTaken):
        return None
    return document if isinstance(document, dict) else None


def assert_read_as_json(body: bytes, size: int) -> None:
    assert read(body, size) == read_whole(body)


def check(data: bytes) -> None:
    (size,), body = leading(data, 1)
    if len(body) <= _MOST_BYTES:
        assert_read_as_json(body, size + 1)
