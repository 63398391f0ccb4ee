"""Whether an image file reaches its end, told from its structure without decoding pixels.

Each format is followed by its own lengths and markers. All of it reads in small pieces, and
refuses files that are cut into absurdly many parts, so that time and memory stay bounded.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO

from PIL import Image, ImageSequence, TiffImagePlugin

_PIECE = 64 * 1024
_MOST_CHUNKS = 100_000
_TIFF_OFFSETS_AND_COUNTS = ((273, 279), (324, 325))  # of strips, of tiles


def largest_page(image: Image.Image) -> tuple[int, int]:
    """Width and height; of a TIFF file with several pages, those of the one with most pixels."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return image.size
    return max((page.size for page in ImageSequence.Iterator(image)), key=math.prod)


def reached(image: Image.Image, source: BinaryIO, size: int) -> bool:
    """Whether the file of ``size`` bytes that ``image`` was opened from is whole."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _of_tiff(image, size)
    match image.format:
        case "PNG":
            return _of_png(source)
        case "JPEG" | "MPO":
            return _of_jpeg(source)
        case "GIF":
            return _of_gif(source, size, image.size)
        case "BMP":
            return _of_bmp(image, size)
        case "AVIF":
            return _of_avif(source, size)
    return False


def of_webp(source: BinaryIO, size: int) -> bool:
    """A WebP file's chunks fill exactly the size that its RIFF header states (RFC 9649)."""
    source.seek(4)
    stated = int.from_bytes(source.read(4), "little") + 8
    if stated > size:
        return False
    place, found_image = 12, False
    for _ in range(_MOST_CHUNKS):
        if place >= stated:
            break
        source.seek(place)
        header = source.read(8)
        found_image = found_image or header[:4] in (b"VP8 ", b"VP8L", b"ANMF")
        length = int.from_bytes(header[4:], "little")
        place += 8 + length + length % 2
    return found_image and place in (stated, stated + 1)


def _of_png(source: BinaryIO) -> bool:
    """Every chunk's checksum is right, and there is image data before the end chunk."""
    source.seek(8)
    has_data = False
    for _ in range(_MOST_CHUNKS):
        header = source.read(8)
        if len(header) < 8:
            return False
        checksum, left = zlib.crc32(header[4:]), int.from_bytes(header[:4], "big")
        while left:
            piece = source.read(min(left, _PIECE))
            if not piece:
                return False
            checksum = zlib.crc32(piece, checksum)
            left -= len(piece)
        if source.read(4) != checksum.to_bytes(4, "big"):
            return False
        has_data = has_data or header[4:] == b"IDAT"
        if header[4:] == b"IEND":
            return has_data
    return False


def _of_jpeg(source: BinaryIO) -> bool:
    """There is an end marker somewhere behind the start of the scan.

    Before the scan every segment states its length, so the end marker of an embedded thumbnail
    does not count; behind it, 0xFF in the data is always followed by 0x00 or a restart marker
    (ITU-T T.81, section B.1.1).
    """
    source.seek(2)
    while True:
        marker = source.read(2)
        while marker == b"\xff\xff":  # fill bytes
            marker = marker[1:] + source.read(1)
        if len(marker) < 2 or marker[0] != 0xFF:
            return False
        length = int.from_bytes(source.read(2), "big")
        if length < 2:
            return False
        source.seek(length - 2, 1)
        if marker[1] == 0xDA:
            break
    last = b""
    while piece := source.read(_PIECE):
        if b"\xff\xd9" in last + piece:
            return True
        last = piece[-1:]
    return False


def _of_gif(source: BinaryIO, size: int, screen: tuple[int, int]) -> bool:
    """The blocks lead to the trailer, past at least one image (GIF89a, appendix A).

    No image reaches beyond ``screen``: viewers would make room for it.
    """
    source.seek(10)
    flags = source.read(3)[0]
    source.seek(_colour_table(flags), 1)
    blocks_left = 1000 + size // 16
    has_image = False
    while kind := source.read(1):
        if kind == b"\x3b":
            return has_image
        if kind == b"\x2c":
            has_image = True
            left, top, width, height, flags = struct.unpack("<HHHHB", source.read(9))
            if left + width > screen[0] or top + height > screen[1]:
                return False
            source.seek(_colour_table(flags) + 1, 1)
        elif kind == b"\x21":
            source.seek(1, 1)
        else:
            return False
        while length := source.read(1)[0]:
            source.seek(length, 1)
            blocks_left -= 1
            if not blocks_left:
                return False
    return False


def _colour_table(flags: int) -> int:
    """The bytes of the colour table that a descriptor's flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _of_bmp(image: Image.Image, size: int) -> bool:
    """An uncompressed bitmap's rows fit; a compressed one has at least a beginning."""
    return all(
        tile.offset + _bmp_rows(tile.codec_name, tile.args, image.height) <= size
        for tile in image.tile  # type: ignore[attr-defined]
    )


def _bmp_rows(codec: str, arguments: object, height: int) -> int:
    if codec == "raw" and isinstance(arguments, tuple):
        return int(arguments[1]) * height
    return 1


def _of_avif(source: BinaryIO, size: int) -> bool:
    """The boxes fill the file exactly (ISO/IEC 14496-12, section 4.2)."""
    place = 0
    for _ in range(_MOST_CHUNKS):
        source.seek(place)
        header = source.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        if length == 0:
            return True  # the last box, which goes to the end of the file
        if length < 8:
            return False
        place += length
        if place >= size:
            return place == size
    return False


def _of_tiff(image: TiffImagePlugin.TiffImageFile, size: int) -> bool:
    """Every strip or tile of every page lies inside the file."""
    for _ in ImageSequence.Iterator(image):
        ends = list(_tiff_ends(image))
        if not ends or max(ends) > size:
            return False
    return True


def _tiff_ends(image: TiffImagePlugin.TiffImageFile) -> Iterator[int]:
    for offsets, counts in _TIFF_OFFSETS_AND_COUNTS:
        if offsets in image.tag_v2:
            starts = image.tag_v2[offsets]
            lengths = image.tag_v2.get(counts) or [
                b - a for a, b in pairwise([*starts, starts[-1]])
            ]
            yield from (start + length for start, length in zip(starts, lengths, strict=True))
