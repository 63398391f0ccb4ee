"""Real images, drawn here."""

import io
from typing import Any

from PIL import Image

# Each with the type it must be recognised as and how Pillow is told to write it.
FORMATS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jpeg": ("image/jpeg", "JPEG", {}),
    "jpeg-progressive": ("image/jpeg", "JPEG", {"progressive": True}),
    "jpeg-with-thumbnail": ("image/jpeg", "JPEG", {"exif": b"Exif\0\0II*\0\xff\xd9thumb"}),
    "png": ("image/png", "PNG", {}),
    "gif": ("image/gif", "GIF", {}),
    "webp-lossy": ("image/webp", "WEBP", {}),
    "webp-lossless": ("image/webp", "WEBP", {"lossless": True}),
    "bmp": ("image/bmp", "BMP", {}),
    "tiff": ("image/tiff", "TIFF", {}),
    "tiff-lzw": ("image/tiff", "TIFF", {"compression": "tiff_lzw"}),
    "tiff-jpeg": ("image/tiff", "TIFF", {"compression": "jpeg"}),
    "avif": ("image/avif", "AVIF", {}),
}
ANIMATIONS = {
    "gif": ("image/gif", "GIF"),
    "webp": ("image/webp", "WEBP"),
    "png": ("image/png", "PNG"),
    "avif": ("image/avif", "AVIF"),
    "tiff": ("image/tiff", "TIFF"),
}


def drawing(width: int = 120, height: int = 80) -> Image.Image:
    """A colourful picture with enough noise that no format makes it tiny."""
    noise = Image.effect_noise((width, height), 60)
    slope = Image.linear_gradient("L").resize((width, height))
    return Image.merge("RGB", (noise, slope, Image.effect_noise((width, height), 30)))


def encoded(name: str, width: int = 120, height: int = 80) -> bytes:
    """The drawing in one of `FORMATS`."""
    _, pillow_format, options = FORMATS[name]
    out = io.BytesIO()
    drawing(width, height).save(out, pillow_format, **options)
    return out.getvalue()


def animated(name: str) -> bytes:
    """Two frames in one of `ANIMATIONS`."""
    out = io.BytesIO()
    first = drawing()
    first.save(out, ANIMATIONS[name][1], save_all=True, append_images=[first.rotate(180)])
    return out.getvalue()
