"""Turns a body as sent into JSON in UTF-8: undoes Content-Encoding, decodes UTF-16 and UTF-32.

Codings are those of RFC 9110, section 8.4, in the order in which they were applied. zstd is that
of RFC 8878. A body that unpacks to more than a limit is refused before it fills the memory.
"""

import codecs
import json
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import zstandard

from jan_media_plugin.answers import Refused, invalid_request, too_large
from jan_media_plugin.headers import Headers

ACCEPTED = "gzip, deflate, zstd"
_MOST_CODINGS = 4
_LARGEST_WINDOW = 1 << 27  # bytes, as `zstd --long` uses; a larger one could fill the memory
_STEP = 1024  # bytes, which unpack to 32 MiB at most
_MOST_FRAMES = 1000  # one after another; each costs microseconds and may be empty


def codings_of(headers: Headers) -> list[str]:
    """Return the codings of a body, without those that change nothing."""
    named = ",".join(headers.get("content-encoding", ())).lower().split(",")
    return [coding for each in named if (coding := each.strip()) not in ("", "identity")]


def decoded(body: bytes, codings: Sequence[str], most: int) -> bytes:
    """Undo ``codings``. Raises `Refused`: 415 for others, 400 for damage, 413 above ``most``."""
    if len(codings) > _MOST_CODINGS:
        raise _unsupported(f"{len(codings)} codings, one after the other,")
    for coding in reversed(codings):
        new_decoder = _DECODERS.get(coding)
        if new_decoder is None:
            raise _unsupported(f"Content-Encoding {coding[:40]!r}")
        try:
            body = _unpacked(new_decoder, body, most + 1)
        except (zlib.error, zstandard.ZstdError, EOFError):
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

    Detected as by the standard library: by where the zeros are in the first bytes.
    """
    encoding = json.detect_encoding(body)
    if encoding.startswith("utf-8"):
        return body.removeprefix(codecs.BOM_UTF8)
    try:
        return body.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
    except UnicodeDecodeError:  # it is not text in any of these encodings
        return body


def _unpacked(new_decoder: Callable[[bytes], Any], body: bytes, most: int) -> bytes:
    """Return the unpacked ``body``, stopping soon after ``most`` bytes.

    Frames, which gzip calls members, may follow one another (RFC 1952, 2.2; RFC 8878, 3.1), with
    zeros between and after them.
    """
    pieces, left, frames, decoder = [], most, 1, new_decoder(body)
    for start in range(0, len(body), _STEP):
        rest = body[start : start + _STEP]
        while left > 0 and (rest := rest.lstrip(b"\0") if decoder.eof else rest):
            if decoder.eof:
                frames, decoder = frames + 1, new_decoder(rest)
            if frames > _MOST_FRAMES:
                raise too_large(
                    f"The body is compressed in more than {_MOST_FRAMES} parts. Compress it in one."
                )
            pieces.append(decoder.decompress(rest))
            left -= len(pieces[-1])
            rest = decoder.unused_data
    if left > 0 and not decoder.eof:
        raise EOFError
    return b"".join(pieces)


def _inflating(begins: bytes) -> Any:
    """Zlib (RFC 1950, 2.2), as the standard says, or raw deflate (RFC 1951), as many send it."""
    head = int.from_bytes(begins[:2], "big")
    is_zlib = head >> 8 & 15 == 8 and head % 31 == 0
    return zlib.decompressobj(wbits=15 if is_zlib else -15)


# Makes a decoder of one frame from its first bytes, with `decompress`, `eof` and `unused_data`.
_DECODERS: dict[str, Callable[[bytes], Any]] = {
    "gzip": lambda _: zlib.decompressobj(wbits=31),
    "x-gzip": lambda _: zlib.decompressobj(wbits=31),
    "deflate": _inflating,
    "zstd": lambda _: zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).decompressobj(),
}


def _unsupported(what: str) -> Refused:
    return Refused(
        415,
        "unsupported_content_encoding",
        f"{what} cannot be read here, so media ids in it could not be resolved. Send the body as "
        f"it is, or with {ACCEPTED}.",
        headers={"Accept-Encoding": ACCEPTED},
    )
