"""Small real images, each with unique bytes."""

import io
import itertools
import os

from PIL import Image

_numbers = itertools.count(1)


def picture(kind: str = "PNG", *, size: tuple[int, int] = (32, 24)) -> bytes:
    """An image that no earlier call has returned."""
    number = next(_numbers)
    color = (number % 256, number // 256 % 256, os.getpid() % 256)
    image = Image.new("RGB", size, color)
    image.putpixel((0, 0), tuple(os.urandom(3)))
    image.putpixel((size[0] - 1, size[1] - 1), tuple(os.urandom(3)))
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def large_picture(size_bytes: int) -> bytes:
    """A real image of just about ``size_bytes``: a BMP, whose size is its pixels'."""
    width = 1000
    height = size_bytes // (width * 3)
    image = Image.frombytes("RGB", (width, height), os.urandom(width * height * 3))
    out = io.BytesIO()
    image.save(out, "BMP")
    return out.getvalue()
