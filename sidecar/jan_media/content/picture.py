"""Opens and decodes untrusted pictures. Pillow decides which are valid.

This runs only in decoder processes (`jan_media.content.decoders`), whose memory and time are
limited. In addition, there are limits on the pixels, frames and chunks of a file.
"""

import contextlib
import hashlib
import io
import struct
import warnings
from collections.abc import Iterator, Set
from typing import BinaryIO

from PIL import Image, ImageFile

from jan_media.content.allowed_types import CHECKED
from jan_media.content.refusals import MediaRefused, broken

MOST_FRAMES = 10_000
# The frames of an animation are decoded up to this many pixels in all; later ones are not checked.
DECODED_PIXELS = 100_000_000
_MOST_PARTS = 100_000  # chunks of a PNG, segments of a JPEG
_MOST_SCANS = 100  # of a JPEG; each may cost as much as the picture
_MOST_READS = 1_000_000  # of a GIF, which Pillow reads block by block
_PNG_PICTURE = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
PNG_COLOURS = {b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"eXIf"}
_JPEG_ALONE = {0x01, *range(0xD0, 0xDA)}  # markers without a segment after them
_JPEG_EXTRAS = {*range(0xE0, 0xF0), 0xFE}
_END_OF_JPEG = b"\xff\xd9"
_NO_DATA = b"\x5a\xa5\x33\x96" * 64  # bytes that change the picture if a decoder reads them

warnings.filterwarnings("ignore", module=r"PIL\.")


def check(source: BinaryIO, mime: str, max_pixels: int) -> None:
    """Decode the picture. Raises `MediaRefused` if it is invalid."""
    with refusing(mime, max_pixels):
        if mime == "image/jpeg":
            _check_jpeg(jpeg_without_extras(source), max_pixels)
            return
        if mime == "image/png":
            source = png_without_extras(source)
        if mime == "image/gif":
            source = _CountedReads(source.read())
        with open_picture(source, mime, max_pixels) as image:
            _decode_frames(image, mime, max_pixels)


@contextlib.contextmanager
def refusing(mime: str, max_pixels: int) -> Iterator[None]:
    """Turn every error that hostile bytes cause in a decoder into a `MediaRefused`.

    `MemoryError` is raised as it is: it ends the process, so that nothing of this picture stays.
    """
    try:
        yield
    except (MediaRefused, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise _too_many_pixels(f"more than {2 * max_pixels}", max_pixels) from None
    except Exception:
        raise broken(mime) from None


def open_picture(source: BinaryIO, mime: str, max_pixels: int) -> ImageFile.ImageFile:
    """Open the picture: read its header, and decode nothing yet.

    Raises `MediaRefused` for its size, and whatever Pillow raises.
    """
    if CHECKED[mime] == "HEIF":
        import pi_heif  # slow to load, and few files need it

        pi_heif.register_heif_opener(thumbnails=False)
    # Pillow itself refuses more than twice this number. That covers the canvas of a WebP, whose
    # memory is allocated when the header is read, and frames that are larger than the first.
    Image.MAX_IMAGE_PIXELS = max_pixels
    source.seek(0)
    image = Image.open(source, formats=[CHECKED[mime]])
    _check_size(image, mime, max_pixels)
    return image


def _check_size(image: Image.Image, mime: str, max_pixels: int) -> None:
    width, height = image.size
    if width <= 0 or height <= 0:
        raise broken(mime)
    if width * height > max_pixels:
        raise _too_many_pixels(f"{width} x {height}", max_pixels)


def _too_many_pixels(size: str, most: int) -> MediaRefused:
    return MediaRefused(
        "too_many_pixels", f"The image is {size} pixels; at most {most} in all are allowed."
    )


def _decode_frames(image: ImageFile.ImageFile, mime: str, max_pixels: int) -> None:
    """Decode the frames. Raises `MediaRefused` for too many, and whatever Pillow raises."""
    decoded = 0
    for number in range(MOST_FRAMES):
        try:
            image.seek(number)
            _check_size(image, mime, max_pixels)
            image.load()
            decoded += image.width * image.height
            if decoded > DECODED_PIXELS:
                return
        except EOFError:
            if number == 0:
                raise
            return
        except (OSError, ValueError):
            # Viewers show the frames before a broken one, so it is valid unless it is cut off.
            if number == 0 or mime != "image/gif" or not _gif_has_its_end(image):
                raise
            return
    raise MediaRefused(
        "invalid_media", f"The image has more than {MOST_FRAMES} frames or pages: send fewer."
    )


class _CountedReads(io.BytesIO):
    """A file with a limited number of reads."""

    reads_left = _MOST_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads_left -= 1
        if self.reads_left < 0:
            raise broken("image/gif")
        return super().read(size)


def _gif_has_its_end(image: ImageFile.ImageFile) -> bool:
    assert image.fp is not None
    image.fp.seek(0)
    return image.fp.read().rstrip(b"\0").endswith(b";")


def png_without_extras(source: BinaryIO, keep: Set[bytes] = frozenset()) -> BinaryIO:
    """A PNG with only the chunks of its first picture, and those to ``keep``.

    Browsers ignore errors in other chunks (a wrong checksum, a text that unpacks to megabytes), and
    Pillow does not. Raises `MediaRefused` if it is cut off in the data of a later frame.
    """
    source.seek(0)
    picture = io.BytesIO()
    picture.write(source.read(8))
    for _ in range(_MOST_PARTS):
        header = source.read(8)
        if len(header) < 8:
            break
        length, kind = struct.unpack(">I4s", header)
        if kind in _PNG_PICTURE or kind in keep or kind == b"fdAT":
            content = source.read(length + 4)
            if kind != b"fdAT":
                picture.write(header + content)
            elif len(content) < length:
                raise broken("image/png")
        else:
            source.seek(length + 4, io.SEEK_CUR)
        if kind == b"IEND":
            break
    else:
        raise broken("image/png")
    picture.seek(0)
    return picture


def jpeg_without_extras(source: BinaryIO) -> bytes:
    """The bytes of a JPEG, with only what belongs to its first picture.

    Leaves out bytes between segments (ITU-T T.81, section B.1.1), comments, and application
    segments except Adobe's, which determines the colours.
    """
    source.seek(0)
    data = source.read()
    picture = bytearray(data[:2])
    place = 2
    for _ in range(_MOST_PARTS):
        place = data.index(b"\xff", place)
        marker = data[place + 1]
        if marker in (0x00, 0xFF):
            place += 1
            continue
        length = 0 if marker in _JPEG_ALONE else int.from_bytes(data[place + 2 : place + 4], "big")
        segment = data[place : place + 2 + length]
        if marker == 0xDA:
            if data.count(b"\xff\xda", place) > _MOST_SCANS:
                break
            return bytes(picture) + data[place:]
        if marker not in _JPEG_EXTRAS or (marker == 0xEE and length >= 14):
            picture += segment
        place += max(2, len(segment))
    raise broken("image/jpeg")


def _check_jpeg(data: bytes, max_pixels: int) -> None:
    """Decode at an eighth of the size, which reads all of the data but computes few pixels."""
    with open_picture(io.BytesIO(data), "image/jpeg", max_pixels) as image:
        image.draft("L", (1, 1))
        with contextlib.suppress(OSError):
            image.load()
            return
    # If only the end marker is missing, other bytes before it do not change the picture.
    drawn = []
    data = data.rstrip(b"\xff")
    for rest in (_END_OF_JPEG, _NO_DATA + _END_OF_JPEG):
        with open_picture(io.BytesIO(data + rest), "image/jpeg", max_pixels) as image:
            drawn.append(hashlib.sha256(image.tobytes()).digest())
    if drawn[0] != drawn[1]:
        raise broken("image/jpeg")
