"""A data URL decodes to the same bytes in pieces as in one, and never to more than the limit."""

import base64
import re
from urllib.parse import unquote_to_bytes

from jan_media.content.data_url import DataUrlDecoder
from jan_media.errors import Refused

from tests.fuzz.readers.pieces import in_pieces, leading

WORDS = [b"data:", b"image/png", b";base64,", b";", b",", b"=", b"==", b"QUJD", b" \n", b"-_"]

_WHITE_SPACE = b" \t\n\f\r"
_WHOLE = re.compile(rb"data:([^,]{0,1019}),(.*)", re.DOTALL | re.IGNORECASE)


def decoded_whole(text: bytes) -> bytes | None:
    """What a data URL stands for, by the rules of `data_url` on the whole text; None if refused."""
    match = _WHOLE.fullmatch(text)
    if not match or not match[1].isascii():
        return None
    parameters = [part.strip(_WHITE_SPACE).lower() for part in match[1].split(b";")]
    if len(parameters) < 2 or parameters[-1] != b"base64":
        return None
    content = unquote_to_bytes(match[2]).translate(None, _WHITE_SPACE)
    if not re.fullmatch(
        rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", content
    ):
        return None
    return base64.b64decode(content)


def assert_same_in_pieces_as_in_one(text: bytes, size: int) -> None:
    decoder = DataUrlDecoder(10_000)
    content: bytes | None
    try:
        content = b"".join(map(decoder.feed, in_pieces(text, size)))
        decoder.close()
    except Refused:
        content = None
    assert content == decoded_whole(text)


def assert_never_more_than(limit: int, text: bytes, size: int) -> None:
    decoder = DataUrlDecoder(limit)
    given_out = 0
    try:
        for piece in in_pieces(text, size):
            given_out += len(decoder.feed(piece))
        decoder.close()
    except Refused:
        pass
    assert given_out <= limit


def check(data: bytes) -> None:
    (size, limit), text = leading(data, 2)
    assert_same_in_pieces_as_in_one(text, size + 1)
    assert_never_more_than(limit, text, size + 1)
