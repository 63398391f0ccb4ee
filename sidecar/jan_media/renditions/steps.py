"""Converts a picture step by step. Runs in decoder processes (`jan_media.content.decoders`).

Limits are checked before a pixel is decoded. Each step then has as few pixels as possible: a JPEG
is decoded at the size that is needed, and colours are converted when the picture is small already.
"""

import contextlib
import io
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

from PIL import Image, ImageCms, ImageFile, ImageOps

from jan_media.content.allowed_types import CHECKED
from jan_media.content.picture import (
    PNG_COLOURS,
    jpeg_without_extras,
    open_picture,
    png_without_extras,
    refusing,
)
from jan_media.content.refusals import broken
from jan_media.renditions.fit import WRITABLE, Fit

_LOSSLESS = {"image/png", "image/gif", "image/bmp", "image/tiff"}
_QUALITIES = (88, 78, 65, 50)
_SMALLER = 0.75  # factor for the edges if no quality makes the file small enough
_TIMES_SMALLER = 8
_MORE_THAN_MODELS_SEE = 2000  # pixels of the longer edge; providers scale down to 1568 or 2048
_HEAD = 64 * 1024  # where a PNG says that it is animated, before its first picture
_PNG_DEPTH = 24  # where it says how many bits a channel has
_SRGB = ImageCms.createProfile("sRGB")


def render(source: BinaryIO, mime: str, max_pixels: int, fit: dict[str, Any]) -> dict[str, Any]:
    """Convert the picture: ``content``, ``mime``, ``width``, ``height``.

    ``content`` is None if it fits unchanged. ``max_pixels`` limits what is decoded. Raises
    `MediaRefused`.
    """
    wanted = Fit(**fit)
    size = source.seek(0, io.SEEK_END)
    with refusing(mime, max_pixels):
        with open_leniently(source, mime, max_pixels) as image:
            if fits(image, mime, size, wanted) and not _is_unusual_png(source, mime):
                return _made(None, mime, image)
            decode(image, needed_size(image.size, size, wanted))
            orient(image)
            picture = to_srgb(resize(plain(image), wanted))
        content, kind, picture = encode(picture, mime, wanted)
        return _made(content, kind, picture)


def _made(content: bytes | None, mime: str, image: Image.Image) -> dict[str, Any]:
    return {"content": content, "mime": mime, "width": image.width, "height": image.height}


def open_leniently(source: BinaryIO, mime: str, max_pixels: int) -> ImageFile.ImageFile:
    """Open the picture with its colours and orientation, or without them if they are invalid."""
    with contextlib.suppress(SyntaxError, ValueError, OSError):
        kept = png_without_extras(source, PNG_COLOURS) if mime == "image/png" else source
        return open_picture(kept, mime, max_pixels)
    if mime == "image/png":
        source = png_without_extras(source)
    elif mime == "image/jpeg":
        source = io.BytesIO(jpeg_without_extras(source))
    return open_picture(source, mime, max_pixels)


def fits(image: ImageFile.ImageFile, mime: str, size: int, wanted: Fit) -> bool:
    """Whether a model accepts the picture unchanged: no animation, eight bits of RGB or grey."""
    return (
        (not wanted.types or mime in wanted.types)
        and (wanted.max_bytes is None or size <= wanted.max_bytes)
        and target_size(image.size, wanted) == image.size
        and (image.format == "MPO" or getattr(image, "n_frames", 1) == 1)
        and image.mode in ("RGB", "RGBA", "L", "LA", "P", "1")
        and not (wanted.strip_metadata and _tells_more(image))
    )


def _is_unusual_png(source: BinaryIO, mime: str) -> bool:
    """Whether a PNG is animated, or has 16 bits a channel, which Pillow shows as eight."""
    source.seek(0)
    head = source.read(_HEAD)
    return mime == "image/png" and (b"acTL" in head or head[_PNG_DEPTH] == 16)


def _tells_more(image: ImageFile.ImageFile) -> bool:
    """Whether the metadata may say where, when or by whom a photo was taken."""
    return any(image.info.get(name) for name in ("exif", "xmp", "photoshop", "comment"))


def target_size(size: tuple[int, int], wanted: Fit) -> tuple[int, int]:
    """The largest size within the limits, with the same aspect ratio."""
    width, height = size
    scale = min(
        1.0,
        (wanted.max_edge or math.inf) / max(size),
        math.sqrt((wanted.max_pixels or math.inf) / (width * height)),
    )
    return (width, height) if scale == 1 else _scaled(size, scale)


def needed_size(size: tuple[int, int], file_bytes: int, wanted: Fit) -> tuple[int, int]:
    """The size to decode at least: within the limits and, for a file of too many bytes, half the
    picture, if that is still as large as models use. It costs a third of encoding all again."""
    if file_bytes > (wanted.max_bytes or math.inf) and max(size) // 2 >= _MORE_THAN_MODELS_SEE:
        size = _scaled(size, 0.5)
    return target_size(size, wanted)


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, int(size[0] * scale + 1e-6)), max(1, int(size[1] * scale + 1e-6))


def decode(image: ImageFile.ImageFile, needed: tuple[int, int]) -> None:
    """Decode the first frame, a JPEG at the smallest scale that is at least ``needed``.

    A JPEG that lacks only its end marker is accepted.
    """
    if image.format in ("JPEG", "MPO"):
        image.draft(None, needed)
        ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        image.load()
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def orient(image: Image.Image) -> None:
    """Rotate the picture as its EXIF orientation says."""
    with contextlib.suppress(Exception):  # untrusted EXIF may contain anything
        ImageOps.exif_transpose(image, in_place=True)


def plain(image: Image.Image) -> Image.Image:
    """Convert to eight bits per channel, which can be resized: no palette, no 16 bits, no 1 bit."""
    match image.mode:
        case "P" | "PA" | "LA" | "La" | "RGBa":
            transparent = image.mode != "P" or "transparency" in image.info
            return image.convert("RGBA" if transparent else "RGB")
        case "1":
            return image.convert("L")
        case "I;16" | "I;16B" | "I;16L" | "I;16N" | "I" | "F":
            return _eight_bits(image)
        case _:
            return image


def _eight_bits(image: Image.Image) -> Image.Image:
    wide = image.convert("F")
    darkest, brightest = wide.getextrema()
    assert isinstance(darkest, float)
    assert isinstance(brightest, float)
    if image.mode != "F":
        darkest, brightest = 0.0, 65535.0
    span = (brightest - darkest) or 1.0
    return wide.point(lambda value: value * (255 / span) - darkest * 255 / span).convert("L")


def resize(image: Image.Image, wanted: Fit) -> Image.Image:
    """Scale down to the limits of edge and pixels."""
    size = target_size(image.size, wanted)
    if size == image.size:
        return image
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def to_srgb(image: Image.Image) -> Image.Image:
    """Convert to sRGB, which models assume, from the file's own colour profile."""
    mode = "RGBA" if "A" in image.mode else "L" if image.mode == "L" else "RGB"
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "CMYK", "RGBA"):
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
            converted = ImageCms.profileToProfile(
                image, io.BytesIO(profile), _SRGB, outputMode=mode
            )
            if converted is not None:
                return converted
    return image if image.mode == mode else image.convert(mode)


def encode(image: Image.Image, source_mime: str, wanted: Fit) -> tuple[bytes, str, Image.Image]:
    """Encode: lossless, then good, then lower quality, then smaller, until it is small enough.

    Returns the bytes, their type, and the picture as it is in them. Raises `MediaRefused` if
    nothing is small enough.
    """
    types = [mime for mime in WRITABLE if mime in wanted.types] or list(WRITABLE[:3])
    limit = wanted.max_bytes or math.inf
    for _ in range(_TIMES_SMALLER):
        for mime, picture, options in _ways_to_write(image, source_mime, types):
            content = _saved(picture, CHECKED[mime], **options)
            if len(content) <= limit:
                return content, mime, picture
        image = image.resize(_scaled(image.size, _SMALLER), Image.Resampling.BICUBIC)
    raise broken(source_mime)


def _ways_to_write(
    image: Image.Image, source_mime: str, types: list[str]
) -> Iterator[tuple[str, Image.Image, dict[str, int]]]:
    """Types, pictures and Pillow's options, the best first."""
    transparent = image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255)
    if "image/png" in types and (source_mime in _LOSSLESS or transparent):
        yield "image/png", image, {"compress_level": 3}
    lossy = [mime for mime in ("image/jpeg", "image/webp") if mime in types]
    if lossy:
        mime = lossy[-1] if transparent else lossy[0]
        flat = _on_white(image) if mime == "image/jpeg" else image
        for quality in _QUALITIES:
            yield mime, flat, {"quality": quality}
    else:
        yield "image/png" if "image/png" in types else "image/gif", image, {}


def _saved(image: Image.Image, pillow_format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    clean = image.copy() if image.info else image
    clean.info = {}
    clean.save(out, pillow_format, **options)
    return out.getvalue()


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
