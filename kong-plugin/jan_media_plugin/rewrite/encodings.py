"""From a body as it was sent to JSON in UTF-8: Content-Encoding undone, UTF-16 and UTF-32 decoded.

Codings are those of RFC 9110, section 8.4, in the order in which they were applied. zstd is that
of RFC 8878. What unpacks to more than a limit is refused before it fills the memory.
"""

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Callable, Sequence

import zstandard

from jan_media_plugin.answers import Refused, invalid_request, too_large
from jan_media_plugin.headers import Headers

ACCEPTED = "gzip, deflate, zstd"
_MOST_CODINGS = 4
_LARGEST_WINDOW = 1 << 27  # bytes: what `zstd --long` makes; more is a way to fill the memory
_ZSTD_STEP = 1024
_GZIP_BEGINS = b"\x1f\x8b\x08"  # each member does; in compressed data it comes by chance
_MOST_FRAMES = 1000  # one behind the other; each costs microseconds and may hold nothing


def codings_of(headers: Headers) -> list[str]:
    """Return the codings of a body, those aside that change nothing."""
    named = ",".join(headers.get("content-encoding", ())).lower().split(",")
    return [coding for each in named if (coding := each.strip()) not in ("", "identity")]


def decoded(body: bytes, codings: Sequence[str], most: int) -> bytes:
    """Undo ``codings``. Raises `Refused`: 415 for others, 400 for damage, 413 above ``most``."""
    if len(codings) > _MOST_CODINGS:
        raise _unsupported(f"{len(codings)} codings, one after the other,")
    for coding in reversed(codings):
        decode = _DECODERS.get(coding)
        if decode is None:
            raise _unsupported(f"Content-Encoding {coding[:40]!r}")
        try:
            body = decode(body, most + 1)
        except (zlib.error, gzip.BadGzipFile, zstandard.ZstdError, EOFError):
            raise invalid_request(
                "invalid_content_encoding",
                f"The body is not {coding}, as its Content-Encoding says. Send it as it is, or "
                "compress it again.",
            ) from None
        if len(body) > most:
            raise too_large(
                f"The body unpacks to more than {most} bytes, the most that is accepted."
            )
    return body


def in_utf8(body: bytes) -> bytes:
    """Return a JSON text in UTF-8 without a byte order mark, whatever its encoding was.

    Told as the standard library does, by where the zeros are among the first bytes.
    """
    encoding = json.detect_encoding(body)
    if encoding.startswith("utf-8"):
        return body.removeprefix(codecs.BOM_UTF8)
    try:
        return body.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
    except UnicodeDecodeError:  # it is no text in any of them
        return body


def _gunzip(body: bytes, most: int) -> bytes:
    """A file of gzip may have several members, one behind the other (RFC 1952, 2.2)."""
    if body.count(_GZIP_BEGINS) > _MOST_FRAMES:
        raise _too_many_frames()
    return gzip.GzipFile(fileobj=io.BytesIO(body)).read(most)


def _inflate(body: bytes, most: int) -> bytes:
    """Zlib (RFC 1950) as the standard says, or bare deflate (RFC 1951) as many send it."""
    try:
        return _whole(zlib.decompressobj(), body, most)
    except zlib.error:
        return _whole(zlib.decompressobj(wbits=-15), body, most)


def _whole(decoder: "zlib._Decompress", body: bytes, most: int) -> bytes:
    text = decoder.decompress(body, most)
    if not decoder.eof and len(text) < most:
        raise EOFError
    return text


def _unzstd(body: bytes, most: int) -> bytes:
    """There may be several frames, one behind the other (RFC 8878, 3.1)."""
    pieces, left, frames = [], most, 1
    view = memoryview(body)
    decoder = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).decompressobj()
    # A kilobyte unpacks to 32 MiB at most, so no more is made than is asked for and that.
    for start in range(0, len(body), _ZSTD_STEP):
        rest: bytes | memoryview = view[start : start + _ZSTD_STEP]
        while rest and left > 0:
            if decoder.eof:
                frames += 1
                if frames > _MOST_FRAMES:
                    raise _too_many_frames()
                decoder = zstandard.ZstdDecompressor(
                    max_window_size=_LARGEST_WINDOW
                ).decompressobj()
            pieces.append(decoder.decompress(rest))
            left -= len(pieces[-1])
            rest = decoder.unused_data if decoder.eof else b""
    if not decoder.eof and left > 0:
        raise EOFError
    return b"".join(pieces)


def _too_many_frames() -> Refused:
    return too_large(
        f"The body is compressed in more than {_MOST_FRAMES} parts. Compress it in one."
    )


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
    "zstd": _unzstd,
}


def _unsupported(what: str) -> Refused:
    return Refused(
        415,
        "unsupported_content_encoding",
        f"{what} cannot be read here, so media ids in it could not be resolved. Send the body as "
        f"it is, or with {ACCEPTED}.",
        headers={"Accept-Encoding": ACCEPTED},
    )
