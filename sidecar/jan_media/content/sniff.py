"""Detects the media type of a file, from its bytes alone.

Pictures of the usual formats are decoded (`jan_media.content.decoders`), and refused if that fails.
Other media are recognised by their first and last bytes (puremagic), and not checked any further.
"""

from typing import BinaryIO

import puremagic

from jan_media.content.allowed_types import CHECKED, AllowedTypes
from jan_media.content.decoders import DECODERS
from jan_media.content.refusals import MediaRefused

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
# puremagic's confidence grows with the length of a match. A short one may be mere text.
_SURE_IMAGE = 0.3
_MEDIA_KINDS = ("image/", "audio/", "video/")


def sniff(source: BinaryIO, size: int, *, allowed: AllowedTypes, max_pixels: int) -> str:
    """Return the media type of the ``size`` bytes in ``source`` (seekable; its position is lost).

    Blocking, for as long as it takes to decode a picture. Raises `MediaRefused`.
    """
    if size == 0:
        raise MediaRefused("empty_file", "The file is empty.")
    source.seek(0)
    head = source.read(_HEAD_BYTES)
    mime = _image_type(head) or _other_type(source, head, size)
    if not allowed.admits(mime, checkable=mime in CHECKED):
        raise MediaRefused(
            "unsupported_media_type",
            f"The content is {mime}, which is not allowed here. Allowed: {allowed}.",
        )
    if mime in CHECKED:
        DECODERS.run("check", source, size, mime, max_pixels=max_pixels)
    return mime


_BMP_HEADER_SIZES = {12, 16, 40, 52, 56, 64, 108, 124}


def _image_type(head: bytes) -> str | None:
    """Which of the decoded formats begins like this."""
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
    if head[4:8] == b"ftyp":
        return _type_of_brands(head)
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "image/bmp"
    return None


def _type_of_brands(head: bytes) -> str | None:
    """The type of an ISO base media file (ISO/IEC 14496-12, section 4.3), if it is a picture."""
    box = head[: min(int.from_bytes(head[:4], "big"), 512)]
    brands = {box[place : place + 4] for place in range(8, len(box), 4) if place != 12}
    if brands & {b"avif", b"avis"}:
        return "image/avif"
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}:
        return "image/heic"
    return "image/heif" if brands & {b"mif1", b"msf1"} else None


def _other_type(source: BinaryIO, head: bytes, size: int) -> str:
    """The type of media that is not decoded. Raises `MediaRefused` for anything else."""
    if _is_svg(head):
        return "image/svg+xml"
    if head.startswith((b"\xff\xf2", b"\xff\xf3")):
        return "audio/mpeg"  # MPEG-2 layer III without a tag, as speech is; puremagic knows MPEG-1
    source.seek(max(0, size - _FOOT_BYTES))
    try:
        matches = puremagic.magic_string(head + source.read(_FOOT_BYTES))
    except (puremagic.PureError, ValueError):
        matches = []
    for match in matches:
        mime = _REGISTERED_NAMES.get(str(match.mime_type), str(match.mime_type))
        if mime in CHECKED or mime == "image/svg+xml":
            continue  # it is not: these types were checked before
        if mime.startswith("image/") and match.confidence < _SURE_IMAGE:
            continue
        if mime == "application/pdf" or mime.startswith(_MEDIA_KINDS):
            return mime
        if mime and not mime.startswith("application/octet-stream"):
            break
    message = "The content is not an image or any other media type known here."
    raise MediaRefused("invalid_media", message)


def _is_svg(head: bytes) -> bool:
    start = head[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith(b"<svg") or (
        start.startswith((b"<?xml", b"<!doctype svg", b"<!--"))
        and b"<svg" in start
        and b"<html" not in start
    )
