"""Compressed content decodes to the same bytes in pieces as in one, and in small pieces."""

import gzip
import zlib

from jan_media.errors import Refused
from jan_media.fetch.decoding import Decoder

from tests.fuzz.readers.pieces import in_pieces, leading

WORDS = [b"\x1f\x8b\x08\0\0\0\0\0\0\x03", b"\x78\x9c", b"\x03\0", b"\0" * 8, b"\x4b\x04\0"]
_MOST_AT_ONCE = 64 * 1024
_SHORT = 200  # bytes, of which a bomb makes a thousand times as many


def decoded(encoding: str, pieces: list[bytes]) -> bytes | None:
    """The content; None if it is refused."""
    decoder = Decoder(encoding)
    content = b""
    try:
        for piece in pieces:
            for given_out in decoder.feed(piece):
                assert len(given_out) <= _MOST_AT_ONCE
                content += given_out
        decoder.close()
    except Refused:
        return None
    return content


def assert_same_in_pieces_as_in_one(encoding: str, content: bytes, size: int) -> None:
    assert decoded(encoding, in_pieces(content, size)) == decoded(encoding, [content])


def assert_comes_back(content: bytes, size: int) -> None:
    """However it was compressed: also without zlib's header, in two parts, with padding behind."""
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    half = len(content) // 2
    for encoding, compressed in (
        ("gzip", gzip.compress(content, mtime=0)),
        ("gzip", gzip.compress(content[:half]) + gzip.compress(content[half:]) + b"\0" * 8),
        ("deflate", zlib.compress(content)),
        ("deflate", raw.compress(content) + raw.flush()),
    ):
        assert decoded(encoding, in_pieces(compressed, size)) == content


def check(data: bytes) -> None:
    """A byte for the size of pieces, and the content."""
    (size,), content = leading(data, 1)
    for encoding in ("gzip", "deflate", "identity"):
        assert_same_in_pieces_as_in_one(encoding, content[:_SHORT], size + 1)
    assert_comes_back(content, size + 1)
