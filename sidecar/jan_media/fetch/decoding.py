"""Decodes a response's Content-Encoding, and never holds more than a small piece of it."""

import zlib
from collections.abc import Iterator

from jan_media.errors import Refused

_PIECE = 64 * 1024
_MOST_MEMBERS = 1000
# First bytes of JPEG, PNG, GIF, WebP, WAV, BMP, TIFF, PDF and HEIF. Deflate data without a header
# hardly ever begins with them.
_MEDIA = {b"\xff\xd8", b"\x89P", b"GI", b"RI", b"BM", b"II", b"MM", b"%P", b"\0\0"}
_GZIP = 16 + zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS


class Decoder:
    """Content that may be compressed (gzip or deflate, RFC 9110, section 8.4.1).

    Some servers declare a compression that they did not apply. Content that does not begin like
    compressed data is taken as it is, and so is content of an unknown encoding.
    """

    def __init__(self, content_encoding: str) -> None:
        encoding = content_encoding.strip().lower()
        self._gzip = encoding in ("gzip", "x-gzip")
        self.as_it_is = not self._gzip and encoding != "deflate"
        self._decoder: zlib._Decompress | None = None
        self._start = b""
        self._members_left = _MOST_MEMBERS
        self._padded = False  # the compressed data has ended; the rest is ignored

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decode the next piece; yields pieces of at most 64 KiB, made on demand, or ``data`` as
        it is.

        Raises `Refused` for damaged compressed data.
        """
        if self._padded:
            return  # zlib would keep the ignored rest, and copy it with each piece
        if self._decoder is None and not self.as_it_is:
            data = self._start + data
            if len(data) < 2:
                self._start = data
                return
            window = _window(data, gzip=self._gzip)
            if window is None:
                self.as_it_is = True
            else:
                self._decoder = zlib.decompressobj(window)
        if self._decoder is None:
            yield data
            return
        piece = b""
        while data or len(piece) == _PIECE:  # after a full one, the decoder may hold more
            try:
                piece = self._decoder.decompress(data, _PIECE)
            except zlib.error:
                why = "The server sent compressed content that is damaged."
                raise Refused("remote_fetch_failed", why) from None
            if piece:
                yield piece
            data = self._decoder.unconsumed_tail
            if self._decoder.eof:
                data = self._decoder.unused_data
                self._padded = not self._gzip or data[:1] not in (b"", b"\x1f")
                if self._padded or not data:
                    return
                # Gzip may have several members (RFC 1952, section 2.2); a bomb may have millions.
                self._members_left -= 1
                if not self._members_left:
                    why = "The server sent compressed content in too many parts."
                    raise Refused("remote_fetch_failed", why)
                self._decoder = zlib.decompressobj(_GZIP)

    def close(self) -> None:
        """Finish after the last piece. Raises `Refused` if compressed content is cut off."""
        if not self.as_it_is and (self._decoder is None or not self._decoder.eof):
            raise Refused("remote_fetch_failed", "The server's compressed content was cut off.")


def _window(start: bytes, *, gzip: bool) -> int | None:
    """zlib's ``wbits`` for data that begins like this; None if it is not compressed.

    Deflate means a zlib stream, but some servers omit its header (RFC 1950, section 2.2 says how
    to tell).
    """
    if gzip:
        return _GZIP if start.startswith(b"\x1f\x8b") else None
    if start[0] & 15 == 8 and int.from_bytes(start[:2], "big") % 31 == 0:
        return zlib.MAX_WBITS
    return None if start[:2] in _MEDIA else _RAW
