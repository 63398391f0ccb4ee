"""Images that the project draws itself, so that none has to be shipped or downloaded.

python -m demo.images photo.jpg
"""

import hashlib
import io
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

FORMATS = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF"}


def drawn(name: str, width: int = 320, height: int = 200) -> bytes:
    """An image in the format of the name's extension. The same name gives the same bytes."""
    ending = name.rpartition(".")[2].lower()
    digest = hashlib.sha256(name.encode()).digest()
    image = Image.new("RGB", (width, height), (digest[0], digest[1], digest[2]))
    pen = ImageDraw.Draw(image)
    for index in range(8):
        left, top = digest[index + 3] * width // 320, digest[index + 11] * height // 320
        colour = (digest[index + 19], digest[index + 20], digest[index + 21])
        pen.ellipse((left, top, left + width // 4, top + height // 4), fill=colour)
    pen.text((8, 8), name, fill=(255, 255, 255))
    out = io.BytesIO()
    image.save(out, FORMATS.get(ending, "PNG"))
    return out.getvalue()


def screenshot(number: int, width: int = 1200, height: int = 900) -> bytes:
    """A PNG that compresses badly, like a screenshot of a page with photos: 3.2 MB at 1200×900."""
    noise = random.Random(number).randbytes(width * height * 3)  # noqa: S311
    image = Image.frombytes("RGB", (width, height), noise)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, width, 40), fill=(30, 30, 30))
    pen.text((12, 12), f"Screenshot {number}", fill=(255, 255, 255))
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def main() -> None:
    """Draws an image into each file that is named."""
    for path in map(Path, sys.argv[1:]):
        path.write_bytes(drawn(path.name))


if __name__ == "__main__":
    main()
