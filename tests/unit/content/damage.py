"""Good pictures, damaged in every known way.

Each case is a file that somebody could send. ``witnesses.json`` says whether Pillow and a browser
show it; ``python -m tests.unit.content.witnesses`` asks them again.
"""

import io
import random
import struct
import zlib
from functools import cache
from typing import Any

from PIL import Image

WIDTH, HEIGHT = 64, 48


def picture(seed: int = 1) -> Image.Image:
    """A slope with noise on it, the same each time."""
    return Image.frombytes("RGB", (WIDTH, HEIGHT), _pixels(seed))


@cache
def _pixels(seed: int) -> bytes:
    noise = random.Random(seed)
    return bytes(
        min(255, (x * 3 + y * channel) % 224 + noise.randrange(32))
        for y in range(HEIGHT)
        for x in range(WIDTH)
        for channel in range(3)
    )


def saved(pillow_format: str, image: Image.Image | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    (image or picture()).save(out, pillow_format, **options)
    return out.getvalue()


def animation(pillow_format: str, **options: Any) -> bytes:
    more = [picture(2), picture(3)]
    return saved(pillow_format, save_all=True, append_images=more, duration=50, **options)


def cases() -> dict[str, tuple[str, bytes]]:
    """Each case's type and bytes, by a name that says what is odd."""
    made: dict[str, tuple[str, bytes]] = {}
    for kind, files in {
        "image/jpeg": _jpegs(),
        "image/png": _pngs(),
        "image/gif": _gifs(),
        "image/webp": _webps(),
        "image/bmp": _bmps(),
        "image/avif": _avifs(),
        "image/tiff": _tiffs(),
    }.items():
        for name, content in files.items():
            made[f"{kind.removeprefix('image/')}: {name}"] = (kind, content)
    return made


def _cuts(whole: bytes, *lost: int) -> dict[str, bytes]:
    made = {f"cut by {count} bytes": whole[:-count] for count in lost}
    for part, name in ((4, "a quarter"), (2, "half")):
        made[f"cut to {name}"] = whole[: len(whole) // part]
    made["bytes behind the end"] = whole + b"\0\0camera\xff\xd8\xff" * 30
    made["a second file behind the end"] = whole + whole
    return made


def _jpegs() -> dict[str, bytes]:
    plain = saved("JPEG", quality=85)
    app0 = 4 + int.from_bytes(plain[4:6], "big")
    head, rest = plain[:app0], plain[app0:]
    scan = plain.index(b"\xff\xda")
    data = scan + 2 + int.from_bytes(plain[scan + 2 : scan + 4], "big")
    frame = plain.index(b"\xff\xc0")
    tables = plain.index(b"\xff\xdb")
    middle = (data + len(plain)) // 2
    thumbnail = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + saved("JPEG", picture().resize((16, 12)))
    progressive = saved("JPEG", progressive=True)
    restarts = saved("JPEG", restart_marker_blocks=2)
    mpo = saved("MPO", save_all=True, append_images=[picture(2)])
    made = {
        "plain": plain,
        "progressive": progressive,
        "grey": saved("JPEG", picture().convert("L")),
        "CMYK": saved("JPEG", picture().convert("CMYK")),
        "without subsampling": saved("JPEG", subsampling=0),
        "restart markers": restarts,
        "multi-picture": mpo,
        "multi-picture, second one cut": mpo[: len(mpo) * 3 // 4],
        "multi-picture, second one missing": mpo[: mpo.index(b"\xff\xd9") + 2],
        "stray zero and marker": head + b"\x00\xe1\x00\x08" + b"Exif\0\0" + rest,
        "line feeds between segments": head + b"\n\n\n" + rest,
        "line feed behind the start": plain[:2] + b"\n" + plain[2:],
        "fill bytes before a marker": head + b"\xff" * 5 + rest,
        "fill bytes before the frame": plain[:frame] + b"\xff" * 3 + plain[frame:],
        "zeros before the frame": plain[:frame] + b"\0\0\0" + plain[frame:],
        "zeros before the scan": plain[:scan] + b"\0" * 7 + plain[scan:],
        "text between segments": head + b"hello, world" + rest,
        "a comment with a byte behind it": head + b"\xff\xfe\0\3A\0" + rest,
        "an empty comment": head + b"\xff\xfe\0\2" + rest,
        "a segment of length 0": head + b"\xff\xfe\0\0" + rest,
        "an unknown segment": head + b"\xff\xef\0\6abcd" + rest,
        "a reserved marker": head + b"\xff\x02" + rest,
        "a DNL marker's segment": head + b"\xff\xdc\0\4\0\x30" + rest,
        "JFIF cut short": plain[:2] + b"\xff\xe0\0\4JF" + rest,
        "without JFIF": plain[:2] + rest,
        "Adobe segment cut short": head + b"\xff\xee\0\7Adobe" + rest,
        "EXIF that is none": head + b"\xff\xe1\0\x0eExif\0\0rubbis" + rest,
        "EXIF with a thumbnail": head
        + b"\xff\xe1"
        + struct.pack(">H", len(thumbnail) + 2)
        + thumbnail
        + rest,
        "MPF that is none": head + b"\xff\xe2\0\x0cMPF\0rubbis" + rest,
        "ICC in a wrong order": head + b"\xff\xe2\0\x14ICC_PROFILE\0\5\2abcd" + rest,
        "200 comments": head + b"\xff\xfe\0\3A" * 200 + rest,
        "two starts": plain[:2] + plain,
        "tables twice": plain[:frame] + plain[tables:],
        "no frame": plain[:frame] + plain[scan:],
        "no tables": plain[:tables] + plain[frame:],
        "no scan": plain[:scan] + b"\xff\xd9",
        "no data": plain[:data] + b"\xff\xd9",
        "two frames": plain[:scan] + plain[frame:],
        "a width of zero": plain[: frame + 7] + b"\0\0" + plain[frame + 9 :],
        "a height of zero": plain[: frame + 5] + b"\0\0" + plain[frame + 7 :],
        "12 bits": plain[: frame + 4] + b"\x0c" + plain[frame + 5 :],
        "an unknown component in the scan": plain[: scan + 5] + b"\x09" + plain[scan + 6 :],
        "junk before the end": plain[:-2] + b"\x7f\x11" + plain[-2:],
        "many zeros before the end": plain[:-2] + b"\0" * 500 + plain[-2:],
        "a byte of data changed": plain[:middle]
        + bytes([plain[middle] ^ 0x55])
        + plain[middle + 1 :],
        "data missing in the middle": plain[:middle] + plain[middle + 60 :],
        "a marker in the data": plain[:middle] + b"\xff\xe1" + plain[middle:],
        "an end in the middle of the data": plain[:middle] + b"\xff\xd9" + plain[middle:],
        "a restart marker that is wrong": restarts.replace(b"\xff\xd1", b"\xff\xd5", 1),
        "a restart marker missing": restarts.replace(b"\xff\xd1", b"", 1),
        "no end marker": plain[:-2],
        "zeros for the end marker": plain[:-2] + b"\0\0",
        "half an end marker": plain[:-1],
        "an end marker twice": plain + b"\xff\xd9",
    }
    made |= _cuts(plain, 3, 5, 9, 40, 200)
    made |= {f"progressive, {name}": odd for name, odd in _cuts(progressive, 2, 3, 9, 40).items()}
    return made


def _chunk(kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def _pngs() -> dict[str, bytes]:
    plain = saved("PNG")
    data, end = plain.index(b"IDAT") - 4, plain.index(b"IEND") - 4
    header, pixels = plain[:data], plain[data:end]
    stream = pixels[8:-4]
    paletted = saved("PNG", picture().quantize(16))
    animated = animation("PNG")
    text = zlib.compress(b"a long story " * 200_000)

    def before(*chunks: bytes) -> bytes:
        return header + b"".join(chunks) + pixels + plain[end:]

    def behind(*chunks: bytes) -> bytes:
        return header + pixels + b"".join(chunks) + plain[end:]

    def ihdr(**changed: int) -> bytes:
        fields = {"width": WIDTH, "height": HEIGHT, "bits": 8, "colour": 2, "a": 0, "b": 0, "c": 0}
        return plain[:8] + _chunk(b"IHDR", struct.pack(">IIBBBBB", *(fields | changed).values()))

    made = {
        "plain": plain,
        "16 bit": saved("PNG", picture().convert("L").convert("I;16")),
        "one bit": saved("PNG", picture().convert("1")),
        "palette": paletted,
        "with alpha": saved("PNG", picture().convert("RGBA")),
        "animated": animated,
        "animated, cut to three quarters": animated[: len(animated) * 3 // 4],
        "animated, control chunk's checksum wrong": animated.replace(
            b"acTL\0\0\0\3", b"acTL\0\0\0\2"
        ),
        "animation that says it has a thousand frames": before(
            _chunk(b"acTL", struct.pack(">II", 1000, 0))
        ),
        "animation of no frames": before(_chunk(b"acTL", struct.pack(">II", 0, 0))),
        "animation control too short": before(_chunk(b"acTL", b"\0\0")),
        "frame control out of nowhere": before(_chunk(b"fcTL", b"\0" * 26)),
        "frame data out of nowhere": behind(_chunk(b"fdAT", b"\0\0\0\1abc")),
        "text with a wrong checksum": before(_chunk(b"tEXt", b"Title\0x", 7)),
        "text with a wrong checksum behind": behind(_chunk(b"tEXt", b"Title\0x", 7)),
        "text without a key": before(_chunk(b"tEXt", b"")),
        "text in odd bytes": before(_chunk(b"iTXt", b"\xff\xfe\0\0\0\0\0\xff\xff")),
        "zTXt that grows large": before(_chunk(b"zTXt", b"Story\0\0" + text)),
        "zTXt that grows large behind": behind(_chunk(b"zTXt", b"Story\0\0" + text)),
        "iTXt that grows large": before(_chunk(b"iTXt", b"Story\0\1\0\0\0" + text)),
        "zTXt that is not compressed": before(_chunk(b"zTXt", b"Story\0\0rubbish")),
        "zTXt of another method": before(_chunk(b"zTXt", b"Story\0\7" + text)),
        "a profile that does not unpack": before(_chunk(b"iCCP", b"p\0\0rubbish")),
        "a profile that grows large": before(_chunk(b"iCCP", b"p\0\0" + text)),
        "a profile with a wrong checksum": before(_chunk(b"iCCP", b"p\0\0" + text, 1)),
        "a profile behind the picture": behind(_chunk(b"iCCP", b"p\0\0" + text)),
        "gamma of zero": before(_chunk(b"gAMA", b"\0" * 4)),
        "gamma too short": before(_chunk(b"gAMA", b"\0")),
        "gamma twice": before(_chunk(b"gAMA", b"\0\0\xb1\x8f") * 2),
        "chromaticities too short": before(_chunk(b"cHRM", b"\0" * 5)),
        "sRGB too short": before(_chunk(b"sRGB", b"")),
        "density too short": before(_chunk(b"pHYs", b"\0")),
        "time of nonsense": before(_chunk(b"tIME", b"\xff" * 7)),
        "EXIF that is none": before(_chunk(b"eXIf", b"rubbish")),
        "transparency too long": before(_chunk(b"tRNS", b"\0" * 99)),
        "transparency too short": before(_chunk(b"tRNS", b"\0")),
        "transparency with a wrong checksum": before(_chunk(b"tRNS", b"\0" * 6, 3)),
        "background too short": before(_chunk(b"bKGD", b"")),
        "a palette where none belongs": before(_chunk(b"PLTE", b"abc" * 4)),
        "unknown ancillary": before(_chunk(b"npTc", b"x" * 20)),
        "unknown ancillary, wrong checksum": before(_chunk(b"npTc", b"x" * 20, 1)),
        "unknown ancillary, odd name": before(_chunk(b"v\x03Ab", b"xx")),
        "unknown ancillary, odd name behind": behind(_chunk(b"v\x03Ab", b"xx")),
        "unknown critical": before(_chunk(b"ABCD", b"xx")),
        "unknown critical behind": behind(_chunk(b"ABCD", b"xx")),
        "header twice": before(plain[8:33]),
        "header with a wrong checksum": plain[:29] + b"\0\0\0\0" + plain[33:],
        "header behind a text": plain[:8] + _chunk(b"tEXt", b"a\0b") + plain[8:],
        "a width of zero": ihdr(width=0) + plain[data:],
        "more rows than data": ihdr(height=HEIGHT + 20) + plain[data:],
        "fewer rows than data": ihdr(height=HEIGHT - 20) + plain[data:],
        "unknown colour type": ihdr(colour=5) + plain[data:],
        "unknown compression": ihdr(a=1) + plain[data:],
        "unknown filter": ihdr(b=1) + plain[data:],
        "no data": header + plain[end:],
        "empty data chunk": before(_chunk(b"IDAT", b"")),
        "many data chunks": header
        + b"".join(_chunk(b"IDAT", stream[at : at + 50]) for at in range(0, len(stream), 50))
        + plain[end:],
        "text between data chunks": header
        + _chunk(b"IDAT", stream[:100])
        + _chunk(b"tEXt", b"a\0b")
        + _chunk(b"IDAT", stream[100:])
        + plain[end:],
        "data with a wrong checksum": header + pixels[:-4] + b"\0\0\0\0" + plain[end:],
        "data whose Adler checksum is wrong": header
        + _chunk(b"IDAT", stream[:-4] + b"abcd")
        + plain[end:],
        "data without its Adler checksum": header + _chunk(b"IDAT", stream[:-4]) + plain[end:],
        "data with bytes behind its end": header + _chunk(b"IDAT", stream + b"abc") + plain[end:],
        "data that ends in the middle": header
        + _chunk(b"IDAT", stream[: len(stream) // 2])
        + plain[end:],
        "data that is damaged": header
        + _chunk(b"IDAT", stream[:2000] + b"\xff\xff\xff\xff" + stream[2004:])
        + plain[end:],
        "data with an odd zlib window": header
        + _chunk(b"IDAT", b"\x18\x19" + stream[2:])
        + plain[end:],
        "palette missing": paletted[:33] + paletted[paletted.index(b"IDAT") - 4 :],
        "palette of odd length": paletted[:33]
        + _chunk(b"PLTE", b"abcd")
        + paletted[paletted.index(b"IDAT") - 4 :],
        "palette too short": paletted[:33]
        + _chunk(b"PLTE", b"abc")
        + paletted[paletted.index(b"IDAT") - 4 :],
        "end with a wrong checksum": plain[:-4] + b"\0\0\0\0",
        "end with data": plain[:end] + _chunk(b"IEND", b"data"),
        "a chunk of 2 GiB": header + pixels + b"\x7f\xff\xff\xfftEXt",
        "line ends changed": plain.replace(b"\r\n\x1a\n", b"\n\x1a\n", 1),
    }
    return made | _cuts(plain, 1, 4, 8, 12, 13, 16, 17, 20, 40)


def _gifs() -> dict[str, bytes]:
    plain = saved("GIF", picture().quantize(32))
    animated = animation("GIF", disposal=2, loop=0)
    flags = plain[10]
    start = 13 + (3 << ((flags & 7) + 1))
    screen, rest = plain[:start], plain[start:]
    at = rest.index(b",")
    descriptor = at + 10 + ((3 << ((rest[at + 9] & 7) + 1)) if rest[at + 9] & 0x80 else 0)
    frame = rest[:-1]

    def moved(left: int, top: int) -> bytes:
        return screen + rest[: at + 1] + struct.pack("<HH", left, top) + rest[at + 5 :]

    def sized(width: int, height: int) -> bytes:
        return plain[:6] + struct.pack("<HH", width, height) + plain[10:]

    made = {
        "plain": plain,
        "animated": animated,
        "interlaced": saved("GIF", picture().quantize(32), interlace=1),
        "87a": b"GIF87a" + plain[6:],
        "unknown version": b"GIF88a" + plain[6:],
        "no trailer": plain[:-1],
        "a zero for the trailer": plain[:-1] + b"\0",
        "zeros before the trailer": plain[:-1] + b"\0\0\0;",
        "rubbish for the trailer": plain[:-1] + b"rubbish",
        "rubbish before the trailer": plain[:-1] + b"rubbish;",
        "no terminator": plain[:-2] + b";",
        "a comment": screen + b"!\xfe\5hello\0" + rest,
        "a comment without an end": screen + b"!\xfe\5hello" + rest,
        "a comment behind the picture": plain[:-1] + b"!\xfe\5hello\0;",
        "an unknown extension": screen + b"!\x77\3abc\0" + rest,
        "an application extension cut short": screen + b"!\xff\3abc\0" + rest,
        "graphic control too short": screen + b"!\xf9\2ab\0" + rest,
        "graphic control too long": screen + b"!\xf9\6abcdef\0" + rest,
        "graphic control at the end": plain[:-1] + b"!\xf9\4\0\0\0\0\0;",
        "plain text extension": screen + b"!\x01\x0c" + b"\0" * 12 + b"\2hi\0" + rest,
        "zeros between blocks": screen + b"\0\0" + rest,
        "a picture beyond the screen": moved(30, 20),
        "a picture far beyond the screen": moved(5000, 5000),
        "a screen of zero": sized(0, 0),
        "a screen that is smaller": sized(20, 20),
        "a screen that is larger": sized(100, 100),
        "no picture": screen + b";",
        "an empty picture": screen + rest[:descriptor] + rest[descriptor : descriptor + 1] + b"\0;",
        "a first picture of no pixels": screen + b"\x2c" + b"\0" * 9 + b"\2\0" + rest,
        "a second picture of no pixels": screen + frame + b"\x2c" + b"\0" * 9 + b"\2\0;",
        "a second picture without data": screen + frame + b"\x2c\0\0\0\0\1\0\1\0\0\2\0;",
        "a code size of 0": screen + rest[:descriptor] + b"\0" + rest[descriptor + 1 :],
        "a code size of 12": screen + rest[:descriptor] + b"\x0c" + rest[descriptor + 1 :],
        "data damaged": plain[: start + 400] + b"\xff\xff\xff" + plain[start + 403 :],
        "no colour table": plain[:10] + bytes([flags & 0x7F]) + plain[11:13] + rest,
        "animated, no trailer": animated[:-1],
        "animated, cut to three quarters": animated[: len(animated) * 3 // 4],
        "animated, cut to nine tenths": animated[: len(animated) * 9 // 10],
    }
    return made | _cuts(plain, 2, 3, 5, 20, 200)


def _webps() -> dict[str, bytes]:
    lossy, lossless = saved("WEBP"), saved("WEBP", lossless=True)
    animated = animation("WEBP")
    extended = saved("WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")

    def riff(*chunks: bytes, more: int = 0) -> bytes:
        body = b"WEBP" + b"".join(chunks)
        return b"RIFF" + struct.pack("<I", len(body) + more) + body

    def chunk(kind: bytes, data: bytes) -> bytes:
        return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    picture_chunk = lossy[12:]
    vp8x = chunk(
        b"VP8X", b"\0" * 4 + (WIDTH - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(3, "little")
    )
    made: dict[str, bytes] = {
        "lossy": lossy,
        "lossless": lossless,
        "animated": animated,
        "extended": extended,
        "unknown chunk behind": riff(vp8x, picture_chunk, chunk(b"junk", b"abc")),
        "unknown chunk before": riff(vp8x, chunk(b"junk", b"abc"), picture_chunk),
        "unknown chunk in a simple file": riff(picture_chunk, chunk(b"junk", b"abc")),
        "EXIF that is none": riff(vp8x, picture_chunk, chunk(b"EXIF", b"rubbish")),
        "a profile that is none": riff(vp8x, chunk(b"ICCP", b"rubbish"), picture_chunk),
        "extended without a picture": riff(vp8x),
        "a size that is too large": riff(picture_chunk, more=100),
        "a size that is too small": riff(picture_chunk, more=-100),
        "a size that is 2 too small": riff(picture_chunk, more=-2),
        "a size that is odd": riff(picture_chunk, more=1),
        "a size of zero": b"RIFF\0\0\0\0" + lossy[8:],
        "a canvas that is smaller": riff(vp8x[:12] + b"\x05\0\0\x05\0\0", picture_chunk),
        "a canvas that is larger": riff(vp8x[:12] + b"\x7f\0\0\x7f\0\0", picture_chunk),
        "data damaged": lossy[:200] + b"\xff" * 40 + lossy[240:],
        "start code wrong": lossy[:23] + b"abc" + lossy[26:],
        "lossless damaged": lossless[:200] + b"\0" * 40 + lossless[240:],
        "lossless signature wrong": lossless[:20] + b"\0" + lossless[21:],
        "animated, cut to three quarters": animated[: len(animated) * 3 // 4],
    }
    for name, whole in (("lossy", lossy), ("lossless", lossless)):
        made |= {f"{name}, {odd}": file for odd, file in _cuts(whole, 1, 2, 20, 200).items()}
    return made


def _bmps() -> dict[str, bytes]:
    plain = saved("BMP")
    palette = saved("BMP", picture().quantize(16))
    padded = saved("BMP", picture().crop((0, 0, WIDTH - 2, HEIGHT)))

    def changed(at: int, form: str, *values: int, of: bytes = plain) -> bytes:
        data = struct.pack(form, *values)
        return of[:at] + data + of[at + len(data) :]

    made = {
        "plain": plain,
        "palette": palette,
        "one bit": saved("BMP", picture().convert("1")),
        "with alpha": saved("BMP", picture().convert("RGBA")),
        "a file size of zero": changed(2, "<I", 0),
        "a file size that is wrong": changed(2, "<I", 99_999_999),
        "an image size of zero": changed(34, "<I", 0),
        "an image size that is wrong": changed(34, "<I", 12),
        "top down": changed(22, "<i", -HEIGHT),
        "no planes": changed(26, "<H", 0),
        "padded rows": padded,
        "padded rows, the last one's padding missing": padded[:-2],
        "padded rows, cut by 3 bytes": padded[:-3],
        "an offset of zero": changed(10, "<I", 0),
        "an offset inside the header": changed(10, "<I", 20),
        "an offset beyond the end": changed(10, "<I", 1 << 30),
        "more colours than there are": changed(46, "<I", 999, of=palette),
        "millions of colours": changed(46, "<I", 1 << 30, of=palette),
        "unknown compression": changed(30, "<I", 9),
        "run lengths that are none": changed(30, "<I", 1, of=palette),
        "an unknown depth": changed(28, "<H", 7),
        "a width of zero": changed(18, "<i", 0),
        "a negative width": changed(18, "<i", -WIDTH),
    }
    return made | _cuts(plain, 1, 2, 3, 4, 100)


def _avifs() -> dict[str, bytes]:
    plain, animated = saved("AVIF"), animation("AVIF")
    made = {
        "plain": plain,
        "animated": animated,
        "with alpha": saved("AVIF", picture().convert("RGBA")),
        "a free box behind": plain + b"\0\0\0\x10free" + b"\0" * 8,
        "a box of unknown kind behind": plain + b"\0\0\0\x10junk" + b"\0" * 8,
        "a box that is cut behind": plain + b"\0\0\1\0free",
        "data damaged": plain[:-100] + b"\xff" * 40 + plain[-60:],
        "animated, cut to three quarters": animated[: len(animated) * 3 // 4],
    }
    return made | _cuts(plain, 1, 2, 8, 100)


def _tiffs() -> dict[str, bytes]:
    plain = saved("TIFF")
    made = {
        "plain": plain,
        "LZW": saved("TIFF", compression="tiff_lzw"),
        "deflate": saved("TIFF", compression="tiff_adobe_deflate"),
        "JPEG": saved("TIFF", compression="jpeg"),
        "fax": saved("TIFF", picture().convert("1"), compression="group4"),
        "CMYK": saved("TIFF", picture().convert("CMYK")),
        "16 bit": saved("TIFF", picture().convert("L").convert("I;16")),
        "floating point": saved("TIFF", picture().convert("F")),
        "pages": saved("TIFF", save_all=True, append_images=[picture(2)]),
        "no directory": plain[:4] + b"\0\0\0\0" + plain[8:],
        "a directory beyond the end": plain[:4] + b"\xff\xff\xff\x0f" + plain[8:],
    }
    return (
        made
        | _cuts(plain, 16, 100, 4000)
        | {
            f"LZW, {name}": odd
            for name, odd in _cuts(saved("TIFF", compression="tiff_lzw"), 100).items()
        }
    )
