"""What kind of media some bytes are, by the bytes alone.

Images of the seven checkable formats have their headers parsed by Pillow and are followed to
their end; no pixel is ever decoded. Pillow hands whole WebP files to libwebp, which sets up a
canvas, so those headers are read here instead. Other media are told by their first and last bytes
(puremagic) and not looked into any further.
"""

import importlib
import io
import warnings
from typing import BinaryIO, cast

import puremagic
from PIL import Image, PngImagePlugin

from jan_media.content import image_end, webp
from jan_media.content.allowed_types import AllowedTypes

__all__ = [
    "AllowedTypes",
    "BrokenImage",
    "EmptyFile",
    "MediaRefused",
    "NotMedia",
    "TooManyPixels",
    "TypeNotAllowed",
    "sniff",
]

# The usual formats: loaded now, workers share them.
Image.preinit()
# Nothing here decodes pixels, and the limit that counts is the operator's.
Image.MAX_IMAGE_PIXELS = None
# What a PNG's compressed texts may grow to.
PngImagePlugin.MAX_TEXT_MEMORY = 4 << 20
# Filters are per process, so silencing them around each call would race between threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

_PILLOW_FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
    "image/avif": "AVIF",
}
_CHECKABLE = {*_PILLOW_FORMATS, "image/webp"}
# How much of a file Pillow may read for its header. Camera files carry megabytes of metadata; a
# GIF's comments cost time that grows with their square. AVIF is handed over whole.
_HEADER_BYTES = {"image/jpeg": 8 << 20, "image/gif": 1 << 20}
_HEADER_BYTES_OTHERWISE = 4 << 20
_HEADER_READS = 65_536  # some formats are read byte by byte where they are damaged

_HEAD_BYTES = puremagic.main.max_head
_FOOT_BYTES = puremagic.main.max_foot
# One name for each type, the registered one where there is one.
_REGISTERED_NAMES = {
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-aiff": "audio/aiff",
    "audio/x-m4a": "audio/mp4",
    "audio/mp3": "audio/mpeg",
    "video/avi": "video/x-msvideo",
    "application/ogg": "audio/ogg",
    "application/x-matroska": "video/x-matroska",
}
# puremagic is as sure of a match as it is long: text may well begin with two given letters.
_SURE_IMAGE = 0.3
_MEDIA_KINDS = ("image/", "audio/", "video/")


class MediaRefused(Exception):
    """These bytes are not taken. ``code`` is the error code, ``message`` says why."""

    code = "invalid_media"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class EmptyFile(MediaRefused):
    """There are no bytes at all."""

    code = "empty_file"

    def __init__(self) -> None:
        super().__init__("The file is empty.")


class NotMedia(MediaRefused):
    """The bytes are no image, audio, video or PDF that is known here."""

    def __init__(self) -> None:
        super().__init__("The content is not an image or any other media type known here.")


class TypeNotAllowed(MediaRefused):
    """The bytes are media of a type that the operator does not let in."""

    code = "unsupported_media_type"

    def __init__(self, mime: str, allowed: AllowedTypes) -> None:
        super().__init__(f"The content is {mime}, which is not allowed here. Allowed: {allowed}.")
        self.mime = mime


class BrokenImage(MediaRefused):
    """The bytes begin as an image does, but the rest is damaged or missing."""

    def __init__(self, mime: str) -> None:
        super().__init__(f"The content begins as {mime} but is damaged or cut off.")
        self.mime = mime


class TooManyPixels(MediaRefused):
    """The image's width times height is over the limit."""

    code = "too_many_pixels"

    def __init__(self, width: int, height: int, max_pixels: int) -> None:
        super().__init__(
            f"The image is {width} x {height} pixels; at most {max_pixels} in all are allowed."
        )


def sniff(source: BinaryIO, size: int, *, allowed: AllowedTypes, max_pixels: int) -> str:
    """Return the media type of the ``size`` bytes in ``source`` (seekable; its position is lost).

    Blocking; memory is bounded by what a header may hold, a few MiB, apart from AVIF, which is
    read whole. Raises a subclass of `MediaRefused`: `EmptyFile`, `NotMedia`, `TypeNotAllowed`,
    `TooManyPixels`, `BrokenImage`.
    """
    if size == 0:
        raise EmptyFile
    source.seek(0)
    head = source.read(_HEAD_BYTES)
    mime = _image_type(head)
    if mime is None:
        return _other_type(source, head, size, allowed)
    if not allowed.admits(mime):
        raise TypeNotAllowed(mime, allowed)
    _check_image(source, size, mime, max_pixels)
    return mime


_BMP_HEADER_SIZES = {12, 16, 40, 52, 56, 64, 108, 124}


def _image_type(head: bytes) -> str | None:
    """Which of the checkable formats begins like this."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "image/tiff"
    if head[4:8] == b"ftyp" and _brands(head) & {b"avif", b"avis"}:
        return "image/avif"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "image/bmp"
    return None


def _brands(head: bytes) -> set[bytes]:
    """The brands of an ISO base media file (ISO/IEC 14496-12, section 4.3)."""
    box = head[: min(int.from_bytes(head[:4], "big"), 512)]
    return {box[place : place + 4] for place in range(8, len(box), 4) if place != 12}


def _check_image(source: BinaryIO, size: int, mime: str, max_pixels: int) -> None:
    budget = _HEADER_BYTES.get(mime, _HEADER_BYTES_OTHERWISE)
    # Pillow reads the first bytes twice, so a whole file costs a little more than its size.
    header = _HeaderReader(source, 2 * size if mime == "image/avif" else budget)
    try:
        if mime == "image/webp":
            dimensions = webp.dimensions(header)
            complete = image_end.of_webp(source, size)
        else:
            if mime == "image/avif":
                # In search of a format that is not loaded Pillow would load all forty it has.
                importlib.import_module("PIL.AvifImagePlugin")
            with Image.open(cast(BinaryIO, header), formats=[_PILLOW_FORMATS[mime]]) as image:
                dimensions = image_end.largest_page(image)
                complete = image_end.reached(image, source, size) and not header.ran_out
    except Exception:
        # Whatever a parser makes of hostile bytes: they are no good image.
        raise BrokenImage(mime) from None
    width, height = dimensions
    if width <= 0 or height <= 0:
        raise BrokenImage(mime)
    if width * height > max_pixels:
        raise TooManyPixels(width, height, max_pixels)
    if not complete:
        raise BrokenImage(mime)


class _HeaderReader(io.RawIOBase):
    """A file of which only so much may be read: a header that wants more is refused."""

    def __init__(self, source: BinaryIO, budget: int) -> None:
        source.seek(0)
        self._source = source
        self._bytes = budget
        self.ran_out = False  # the header goes on behind the file's end or its own limit
        self._reads = _HEADER_READS

    def read(self, size: int = -1, /) -> bytes:
        self._reads -= 1
        if self._bytes < 0 or self._reads < 0:
            self.ran_out = True  # Pillow may swallow the error
            raise OSError("the header is too large")
        data = self._source.read(self._bytes + 1 if size < 0 else min(size, self._bytes + 1))
        self._bytes -= len(data)
        self.ran_out = self.ran_out or len(data) < size
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._source.seek(offset, whence)

    def tell(self) -> int:
        return self._source.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


def _other_type(source: BinaryIO, head: bytes, size: int, allowed: AllowedTypes) -> str:
    if _is_svg(head):
        mime = "image/svg+xml"
    else:
        source.seek(max(0, size - _FOOT_BYTES))
        mime = _magic_type(head, source.read(_FOOT_BYTES))
    if not allowed.admits(mime, checkable=False):
        raise TypeNotAllowed(mime, allowed)
    return mime


def _is_svg(head: bytes) -> bool:
    start = head[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith(b"<svg") or (
        start.startswith((b"<?xml", b"<!doctype svg", b"<!--"))
        and b"<svg" in start
        and b"<html" not in start
    )


def _magic_type(head: bytes, foot: bytes) -> str:
    try:
        matches = puremagic.magic_string(head + foot)
    except (puremagic.PureError, ValueError):
        raise NotMedia from None
    for match in matches:
        mime = _REGISTERED_NAMES.get(str(match.mime_type), str(match.mime_type))
        if mime in _CHECKABLE or mime == "image/svg+xml":
            continue  # it is not: that has been looked at above
        if mime.startswith("image/") and match.confidence < _SURE_IMAGE:
            continue
        if mime == "application/pdf" or mime.startswith(_MEDIA_KINDS):
            return mime
        if mime and not mime.startswith("application/octet-stream"):
            break
    raise NotMedia
