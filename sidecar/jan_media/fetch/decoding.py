"""Undoing a response's Content-Encoding without ever holding more than a small piece of it."""

import zlib
from collections.abc import Iterator

from jan_media.fetch.errors import FetchFailed

_PIECE = 64 * 1024
_MOST_MEMBERS = 1000
# First bytes of JPEG, PNG, GIF, WebP, WAV, BMP, TIFF, PDF and HEIF. Deflate data without a header
# hardly ever begins with them.
_MEDIA = {b"\xff\xd8", b"\x89P", b"GI", b"RI", b"BM", b"II", b"MM", b"%P", b"\0\0"}
_GZIP = 16 + zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS


class Identity:
    """Content that is sent as it is."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decoded bytes of the next piece."""
        yield data

    def close(self) -> None:
        """Say that the response has ended."""


class Inflate:
    """Content that is sent compressed (gzip or deflate, RFC 9110, section 8.4.1).

    Some servers say so of content that is not compressed. Content that does not begin like
    compressed data is taken as it is.
    """

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._decoder: zlib._Decompress | None = None
        self._start = b""
        self._members_left = _MOST_MEMBERS
        self._padded = False  # the compressed data has ended; the rest is ignored
        self._mislabelled = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decoded bytes of the next piece, in pieces of at most 64 KiB, made on demand.

        Raises `FetchFailed` for what is not compressed data.
        """
        if self._padded:
            return  # a decoder would keep it, and copy it with each piece
        if self._mislabelled:
            yield data
            return
        if self._decoder is None:
            data = self._start + data
            if len(data) < 2:
                self._start = data
                return
            self._start = b""
            bits = _GZIP if self._gzip else _deflate_bits(data)
            if not _begins_compressed(data, bits):
                self._mislabelled = True
                yield data
                return
            self._decoder = zlib.decompressobj(bits)
        piece = b""
        while data or len(piece) == _PIECE:  # a full one may have left some in the decoder
            try:
                piece = self._decoder.decompress(data, _PIECE)
            except zlib.error:
                raise FetchFailed("The server sent compressed content that is damaged.") from None
            if piece:
                yield piece
            data = self._decoder.unconsumed_tail
            if self._decoder.eof:
                data = self._decoder.unused_data
                self._padded = not self._gzip or data[:1] not in (b"", b"\x1f")
                if self._padded or not data:
                    return
                self._decoder = self._next_member()

    def _next_member(self) -> "zlib._Decompress":
        """Gzip may have several members (RFC 1952, section 2.2); a bomb may have millions."""
        self._members_left -= 1
        if not self._members_left:
            raise FetchFailed("The server sent compressed content in too many parts.")
        return zlib.decompressobj(_GZIP)

    def close(self) -> None:
        """Raises `FetchFailed` if the compressed content has no end."""
        if self._mislabelled:
            return
        if self._decoder is None or not self._decoder.eof:
            raise FetchFailed("The server's compressed content was cut off.")


def _deflate_bits(start: bytes) -> int:
    """Deflate means a zlib stream, but some servers leave its header away (RFC 1950, section 2.2
    says how to tell)."""
    has_header = start[0] & 15 == 8 and int.from_bytes(start[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if has_header else _RAW


def _begins_compressed(start: bytes, bits: int) -> bool:
    if bits == _GZIP:
        return start.startswith(b"\x1f\x8b")
    return bits != _RAW or start[:2] not in _MEDIA


def decoder_for(content_encoding: str) -> Identity | Inflate:
    """The decoder of a Content-Encoding. Content of an unknown one is taken as it is."""
    match content_encoding.strip().lower():
        case "" | "identity":
            return Identity()
        case "gzip" | "x-gzip":
            return Inflate(gzip=True)
        case "deflate":
            return Inflate(gzip=False)
    return Identity()
