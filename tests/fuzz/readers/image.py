"""Bytes are recognized or refused; an accepted image is one for Pillow too, of the same size."""

import io
from typing import BinaryIO

from jan_media.content.allowed_types import AllowedTypes
from jan_media.content.picture import jpeg_without_extras, png_without_extras
from jan_media.content.refusals import MediaRefused
from jan_media.content.sniff import sniff
from PIL import Image

WORDS = [
    *(b"\x89PNG\r\n\x1a\n", b"IHDR", b"IDAT", b"IEND", b"acTL", b"fcTL", b"zTXt", b"iCCP", b"eXIf"),
    *(
        b"\xff\xd8\xff\xe0",
        b"\xff\xd9",
        b"\xff\xda",
        b"\xff\xc0",
        b"\xff\xc2",
        b"Exif\0\0",
        b"MPF\0",
    ),
    *(
        b"GIF89a",
        b"\x21\xf9\x04",
        b"\x2c",
        b"\x3b",
        b"NETSCAPE2.0",
        b"BM",
        b"II*\0",
        b"MM\0*",
        b"II+\0",
    ),
    *(b"RIFF", b"WEBP", b"VP8 ", b"VP8L", b"VP8X", b"ANMF", b"\x9d\x01\x2a", b"ftypavif", b"mdat"),
    *(b"<svg", b"<?xml", b"<html>", b"%PDF-1.7", b"OggS", b"ID3", b"fLaC", b"ftypheic"),
]
MANY = AllowedTypes("image/*,audio/*,video/*,application/pdf")
_MOST_PIXELS = 1_000_000
# Files of several pictures begin as these types do, and are them to everybody else.
_MORE_NAMES = {"image/mpo": "image/jpeg"}


def recognised(data: bytes) -> str | None:
    """The type; None if the bytes are refused, which has to be for a reason that is said."""
    try:
        return sniff(io.BytesIO(data), len(data), allowed=MANY, max_pixels=_MOST_PIXELS)
    except MediaRefused as refused:
        why = refused
    assert why.message
    assert why.code
    return None


def assert_refused_or_what_it_seems(data: bytes) -> None:
    mime = recognised(data)
    assert mime is None or MANY.admits(mime)
    if mime is None or not mime.startswith("image/"):
        return
    assert not data.lstrip().startswith(b"<")
    try:
        opened = Image.open(_picture_alone(data, mime))
    except Exception:
        # A WebP file is not shown to Pillow when it comes, and its pixels may be nonsense.
        assert mime == "image/webp", f"Pillow does not open what passed for {mime}"
        return
    with opened as image:
        assert image.width * image.height <= _MOST_PIXELS
        named = Image.MIME[str(image.format)]
        assert _MORE_NAMES.get(named, named) == mime


def _picture_alone(data: bytes, mime: str) -> BinaryIO:
    """The file without what is odd around the picture: Pillow is stricter there than viewers."""
    if mime == "image/png":
        return png_without_extras(io.BytesIO(data))
    return io.BytesIO(jpeg_without_extras(io.BytesIO(data)) if mime == "image/jpeg" else data)


def check(data: bytes) -> None:
    assert_refused_or_what_it_seems(data)
