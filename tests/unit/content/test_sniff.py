"""What kind of media some bytes are."""

import io
import json
import struct
import subprocess
import sys
import tracemalloc
import wave
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jan_media.content.allowed_types import AllowedTypes
from jan_media.content.refusals import MediaRefused
from jan_media.content.sniff import sniff
from PIL import Image

from tests.fuzz.readers import image
from tests.unit.content.damage import cases
from tests.unit.content.drawings import ANIMATIONS, FORMATS, animated, encoded

# pytest puts the warning filters of a running sidecar aside.
pytestmark = pytest.mark.filterwarnings(r"ignore::UserWarning:PIL\.")

IMAGES = AllowedTypes("image/*")
MANY = AllowedTypes("image/*,audio/*,video/*,application/pdf")


def sniffed(data: bytes, allowed: AllowedTypes = IMAGES, max_pixels: int = 10**8) -> str:
    return sniff(io.BytesIO(data), len(data), allowed=allowed, max_pixels=max_pixels)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks)


# --- good files


@pytest.mark.parametrize("name", FORMATS)
def test_an_image_is_recognised_by_its_bytes(name: str) -> None:
    assert sniffed(encoded(name)) == FORMATS[name][0]


def test_a_phones_photo_is_recognised_and_is_no_video() -> None:
    data = (Path(__file__).parents[2] / "support" / "photo.heic").read_bytes()
    assert sniffed(data) == "image/heic"
    with pytest.raises(MediaRefused, match="damaged or cut off"):
        sniffed(data[: len(data) // 2])
    with pytest.raises(MediaRefused, match="in all are allowed"):
        sniffed(data, max_pixels=96 * 64 - 1)


@pytest.mark.parametrize("name", ANIMATIONS)
def test_an_animation_is_recognised_too(name: str) -> None:
    assert sniffed(animated(name)) == ANIMATIONS[name][0]


@pytest.mark.parametrize("name", ["jpeg", "webp-lossy", "webp-lossless", "png", "gif"])
def test_an_image_of_one_pixel_is_an_image(name: str) -> None:
    assert sniffed(encoded(name, 1, 1)) == FORMATS[name][0]


def test_no_picture_is_decoded_in_this_process(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(encoded("png"))
    done = subprocess.run(
        [sys.executable, "-c", LOADED_BY_SNIFFING, tmp_path / "picture"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["image/png"]


LOADED_BY_SNIFFING = """
import sys
from pathlib import Path
from jan_media.content.allowed_types import AllowedTypes
from jan_media.content.sniff import sniff
path = Path(sys.argv[1])
with path.open("rb") as file:
    size = path.stat().st_size
    print(sniff(file, size, allowed=AllowedTypes("image/*"), max_pixels=10**9))
print(*(name for name in sys.modules if name.startswith("PIL")))
"""


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "bmp", "tiff"])
def test_bytes_behind_the_end_of_an_image_are_tolerated(name: str) -> None:
    assert sniffed(encoded(name) + b"\0" * 100) == FORMATS[name][0]


def test_audio_video_and_pdf_are_told_by_their_first_bytes() -> None:
    sound = io.BytesIO()
    with wave.open(sound, "wb") as writer:
        writer.setparams((1, 2, 8000, 0, "NONE", ""))
        writer.writeframes(b"\0" * 2000)
    assert sniffed(sound.getvalue(), MANY) == "audio/wav"
    assert sniffed(b"ID3\x04\0\0\0\0\0\0" + b"\0" * 100, MANY) == "audio/mpeg"
    assert sniffed(b"fLaC\0\0\0\x22" + b"\0" * 100, MANY) == "audio/flac"
    assert sniffed(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 99, MANY) == "video/mp4"
    assert sniffed(b"%PDF-1.7\n1 0 obj\n%%EOF", MANY) == "application/pdf"


def test_the_source_may_stand_anywhere() -> None:
    data = encoded("png")
    source = io.BytesIO(data)
    source.seek(17)
    assert sniff(source, len(data), allowed=IMAGES, max_pixels=10**8) == "image/png"


# --- what the operator lets in


def test_a_type_outside_the_list_is_named() -> None:
    with pytest.raises(MediaRefused, match="not allowed here") as refused:
        sniffed(encoded("gif"), AllowedTypes("image/png, image/jpeg"))
    assert "is image/gif" in refused.value.message
    assert refused.value.code == "unsupported_media_type"
    assert "image/png,image/jpeg" in refused.value.message


def test_svg_is_let_in_only_by_its_full_name() -> None:
    for svg in (
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b'<?xml version="1.0"?>\n<!-- x -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"\xef\xbb\xbf  <SVG/>",
    ):
        with pytest.raises(MediaRefused, match="not allowed here"):
            sniffed(svg)
        assert sniffed(svg, AllowedTypes("image/svg+xml")) == "image/svg+xml"


def test_an_image_that_cannot_be_decoded_is_let_in_only_by_its_full_name() -> None:
    photoshop = b"8BPS\0\1\0\0\0\0\0\0\0\3" + b"\0" * 100
    mime = sniffed(photoshop, AllowedTypes("image/vnd.adobe.photoshop"))
    assert mime == "image/vnd.adobe.photoshop"
    with pytest.raises(MediaRefused, match="not allowed here"):
        sniffed(photoshop)


@pytest.mark.parametrize("text", ["", " , ", "image", "image/", "*/*", "image/png;q=1", "im age/x"])
def test_a_malformed_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a list of media types"):
        AllowedTypes(text)


# --- what is no media


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(MediaRefused, match="is empty"):
        sniffed(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"hello world",
        b"<!DOCTYPE html><html><body><svg></svg></body></html>",
        b"<html><script>alert(1)</script></html>",
        b'{"a": 1}',
        b"PK\x03\x04" + b"\0" * 60,
        b"MZ" + b"\0" * 200,
        b"#!/bin/sh\necho\n",
        b"BMW builds cars, and this is a text about them.",
        b"\0",
    ],
    ids=["text", "html", "script", "json", "zip", "exe", "shell", "BM-text", "zero"],
)
def test_anything_else_is_not_media(data: bytes) -> None:
    with pytest.raises(MediaRefused, match="not an image or any other") as refused:
        sniffed(data, MANY)
    assert refused.value.code == "invalid_media"


def test_a_relative_of_jpeg_does_not_pass_as_jpeg() -> None:
    jpeg_2000 = b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 50
    with pytest.raises(MediaRefused):
        sniffed(jpeg_2000, AllowedTypes("image/jpeg"))


@pytest.mark.parametrize("name", FORMATS)
def test_html_in_front_of_an_image_makes_it_no_image(name: str) -> None:
    with pytest.raises(MediaRefused, match="not an image or any other"):
        sniffed(b"<html>" + encoded(name))


# --- damage


@pytest.mark.parametrize("name", FORMATS)
def test_an_image_cut_off_in_its_data_is_refused(name: str) -> None:
    data = encoded(name)
    for cut in (1, 5, 20, 60, 150, len(data) // 3, len(data) // 2, len(data) - 40):
        with pytest.raises(MediaRefused):
            sniffed(data[:cut])


@pytest.mark.parametrize(
    ("name", "end"), [("jpeg", 2), ("jpeg-progressive", 2), ("png", 12), ("gif", 1)]
)
def test_a_whole_picture_may_lack_its_end_marker(name: str, end: int) -> None:
    assert sniffed(encoded(name)[:-end]) == FORMATS[name][0]
    with pytest.raises(MediaRefused, match="damaged or cut off"):
        sniffed(encoded(name)[: -end - 30])


# --- what Pillow and a browser make of odd files

WITNESSES = json.loads(Path(__file__).with_name("witnesses.json").read_text())
CASES = cases()
# Pillow is stricter than viewers about what is no part of the picture, and about later frames.
TAKEN_WITH_THE_BROWSER = """
jpeg: Adobe segment cut short
jpeg: multi-picture, second one cut
jpeg: multi-picture, second one missing
jpeg: no end marker
jpeg: half an end marker
jpeg: zeros for the end marker
jpeg: progressive, cut by 2 bytes
png: text with a wrong checksum
png: zTXt that grows large
png: zTXt that grows large behind
png: iTXt that grows large
png: zTXt of another method
png: a profile that grows large
png: a profile with a wrong checksum
png: a profile behind the picture
png: gamma too short
png: chromaticities too short
png: sRGB too short
png: density too short
png: transparency too short
png: transparency with a wrong checksum
png: unknown ancillary, wrong checksum
png: unknown ancillary, odd name
png: text between data chunks
png: a chunk of 2 GiB
png: animated, control chunk's checksum wrong
png: animation that says it has a thousand frames
png: animation control too short
png: frame data out of nowhere
gif: a second picture of no pixels
gif: a second picture without data
""".strip().splitlines()
# Both refuse it for a frame that an animation does not have; we look at the first picture.
TAKEN_ALONE = ["png: frame control out of nowhere"]


def test_every_odd_file_has_been_shown_to_the_witnesses() -> None:
    assert CASES.keys() == WITNESSES.keys()
    assert len(CASES) > 300


@pytest.mark.parametrize("name", [name for name in CASES if name not in TAKEN_ALONE])
def test_what_pillow_and_the_browser_agree_on_is_so(name: str) -> None:
    kind, data = CASES[name]
    pillow, browser = WITNESSES[name]["pillow"], WITNESSES[name]["browser"]
    if kind == "image/tiff":
        browser = pillow  # browsers show none
    if (pillow and browser) or name in TAKEN_WITH_THE_BROWSER:
        assert sniffed(data) == kind
    elif not pillow and not browser:
        with pytest.raises(MediaRefused):
            sniffed(data)
    else:
        assert outcome(data)  # they disagree: either is right, but it ends


@pytest.mark.parametrize("name", ANIMATIONS)
def test_an_animation_cut_off_in_its_second_frame_is_refused(name: str) -> None:
    data = animated(name)
    for cut in (len(data) * 3 // 4, len(data) - 40):
        with pytest.raises(MediaRefused, match="damaged or cut off"):
            sniffed(data[:cut])


def test_a_png_with_a_wrong_checksum_is_refused() -> None:
    data = bytearray(encoded("png"))
    data[len(data) // 2] ^= 1
    with pytest.raises(MediaRefused, match="damaged or cut off"):
        sniffed(bytes(data))


def test_a_png_without_image_data_is_refused() -> None:
    with pytest.raises(MediaRefused, match="damaged or cut off"):
        sniffed(png(10, 10, png_chunk(b"IEND", b"")))


def test_a_jpeg_without_a_frame_header_is_refused() -> None:
    with pytest.raises(MediaRefused, match="damaged or cut off"):
        sniffed(b"\xff\xd8\xff\xda\0\x08\1\1\0\0\x3f\0\x11\x22\xff\xd9")


def test_a_webp_of_no_image_chunk_is_refused() -> None:
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0" * 10
    with pytest.raises(MediaRefused, match="damaged or cut off"):
        sniffed(b"RIFF" + struct.pack("<I", len(body)) + body)


SMALL = {name: encoded(name, 20, 20) for name in FORMATS}


def outcome(data: bytes) -> str:
    """The type found, or the reason that was given."""
    try:
        return sniffed(data, MANY)
    except MediaRefused as refused:
        return refused.message


@given(st.sampled_from(sorted(FORMATS)), st.data())
def test_a_damaged_image_is_recognised_or_refused_but_never_crashes(
    name: str, data: st.DataObject
) -> None:
    damaged = bytearray(SMALL[name])
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    image.assert_refused_or_what_it_seems(bytes(damaged))


@given(st.binary(max_size=2000))
def test_random_bytes_are_recognised_or_refused_but_never_crash(data: bytes) -> None:
    image.assert_refused_or_what_it_seems(data)


# --- dimensions and hostile headers


def test_more_pixels_than_allowed_are_refused() -> None:
    data = encoded("png", 120, 80)
    assert sniffed(data, max_pixels=9600) == "image/png"
    with pytest.raises(MediaRefused, match="in all are allowed") as refused:
        sniffed(data, max_pixels=9599)
    assert "120 x 80" in refused.value.message


def test_a_small_file_that_claims_a_huge_image_costs_no_memory() -> None:
    bomb = png(60_000, 60_000, png_chunk(b"IDAT", zlib.compress(b"\0" * 100_000)))
    bomb += png_chunk(b"IEND", b"")
    vp8x = b"VP8X" + struct.pack("<I", 10) + b"\0" * 4 + b"\xff\x3f\0" * 2
    webp = b"RIFF" + struct.pack("<I", 4 + len(vp8x)) + b"WEBP" + vp8x
    for data in (bomb, webp):
        tracemalloc.start()
        with pytest.raises(MediaRefused, match="in all are allowed"):
            sniffed(data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1_000_000


def test_an_operator_may_allow_more_pixels_than_pillow_would() -> None:
    data = io.BytesIO()
    Image.new("1", (20_000, 10_000)).save(data, "PNG")
    assert sniffed(data.getvalue(), max_pixels=200_000_000) == "image/png"


def test_a_gif_whose_second_frame_is_huge_is_refused() -> None:
    screen = b"GIF89a\1\0\1\0\0\0\0"
    frame = b"\x2c\0\0\0\0%s\0" + b"\2\2\x4c\1\0"
    small, huge = frame % b"\1\0\1\0", frame % b"\xff\xff\xff\xff"
    assert sniffed(screen + small + small + b"\x3b") == "image/gif"
    with pytest.raises(MediaRefused, match="in all are allowed"):
        sniffed(screen + huge + small + b"\x3b")
    with pytest.raises(MediaRefused, match="in all are allowed"):
        sniffed(screen + small + huge + b"\x3b")


def tiff_page(width: int, height: int, next_page: int) -> bytes:
    """A page of one uncompressed strip, 8 bytes at the beginning of the file."""
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 278: height, 279: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", next_page)


def test_a_tiff_whose_second_page_is_huge_is_refused() -> None:
    length = len(tiff_page(1, 1, 0))
    start = b"II*\0" + struct.pack("<I", 8) + tiff_page(2, 4, 8 + length)
    assert sniffed(start + tiff_page(4, 2, 0)) == "image/tiff"
    with pytest.raises(MediaRefused, match="in all are allowed"):
        sniffed(start + tiff_page(60_000, 60_000, 0))


def test_a_tiff_whose_pages_go_in_a_circle_ends() -> None:
    length = len(tiff_page(1, 1, 0))
    start = b"II*\0" + struct.pack("<I", 8) + tiff_page(2, 4, 8 + length)
    assert outcome(start + tiff_page(4, 2, 8))


def test_a_zero_width_is_refused() -> None:
    data = png(0, 10, png_chunk(b"IDAT", b"x"), png_chunk(b"IEND", b""))
    with pytest.raises(MediaRefused, match="damaged or cut off"):
        sniffed(data)


def test_a_tiff_that_names_the_same_megabyte_many_times_costs_bounded_memory() -> None:
    tags = 4000
    data_at = 8 + 2 + tags * 12 + 4
    entries = b"".join(
        struct.pack("<HHII", 40_000 + tag, 7, 1 << 20, data_at) for tag in range(tags)
    )
    data = b"II*\0" + struct.pack("<IH", 8, tags) + entries + b"\0" * 4 + b"\0" * (1 << 20)
    tracemalloc.start()
    with pytest.raises(MediaRefused, match="damaged or cut off"):
        sniffed(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


def test_padding_that_is_read_byte_by_byte_ends_soon() -> None:
    with pytest.raises(MediaRefused, match="damaged or cut off"):
        sniffed(b"\xff\xd8\xff" + b"\xff" * (4 << 20))


GIF = b"GIF89a\1\0\1\0\0\0\0"
GIF_FRAME = b"\x2c\0\0\0\0\1\0\1\0\0\2\2\x4c\1\0"
JPEG = encoded("jpeg-progressive")
PNG = encoded("png")
LAST_SCAN = JPEG[JPEG.rindex(b"\xff\xda") : -2]
IN_MANY_PARTS = {
    "images of a GIF": GIF + GIF_FRAME * 1_200_000 + b"\x3b",
    "empty images of a GIF": GIF + b"\x2c\0\0\0\0\1\0\1\0\0\2\0" * 1_600_000 + b"\x3b",
    "blocks of a GIF's image": GIF + GIF_FRAME[:11] + b"\1x" * 9_000_000 + b"\0\x3b",
    "blocks of a GIF's comment": GIF + b"!\xfe" + b"\1x" * 9_000_000 + b"\0" + GIF_FRAME + b"\x3b",
    "comments of a GIF": GIF + b"!\xfe\1x\0" * 4_000_000 + GIF_FRAME + b"\x3b",
    "chunks of a PNG": PNG[:33] + png_chunk(b"teXt", b"") * 1_600_000 + PNG[33:],
    "segments of a JPEG": JPEG[:2] + b"\xff\xfe\0\2" * 4_900_000 + JPEG[2:],
    "scans of a JPEG": JPEG[:-2] + LAST_SCAN * (19_000_000 // len(LAST_SCAN)) + JPEG[-2:],
}


@pytest.mark.parametrize("parts", IN_MANY_PARTS)
def test_a_file_in_a_million_parts_ends_soon(parts: str) -> None:
    # Not refused for the time it took: that would be `TooExpensive`.
    with pytest.raises(MediaRefused, match=r"damaged or cut off|more than 10000 frames"):
        sniffed(IN_MANY_PARTS[parts])
