"""Pictures made to fit, by decoder processes."""

import io
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any
from zlib import compress, crc32

import pytest
from jan_media.content.decoders import DECODERS
from jan_media.content.refusals import MediaRefused
from jan_media.renditions import steps
from PIL import Image, ImageChops, ImageCms, ImageDraw, ImageFilter, ImageFont, ImageStat

from tests.unit.content.damage import animation, cases, picture, saved

USUAL = ["image/jpeg", "image/png", "image/webp", "image/gif"]
PHOTO = (Path(__file__).parents[2] / "support" / "photo.heic").read_bytes()


def rendered(data: bytes, mime: str, decodable: int = 10**8, **fit: Any) -> dict[str, Any]:
    made: dict[str, Any] = DECODERS.run(
        "render", io.BytesIO(data), len(data), mime, max_pixels=decodable, fit=fit
    )
    return made


def seen(made: dict[str, Any]) -> Image.Image:
    """The rendition's picture, once what is said of it is true."""
    image = Image.open(io.BytesIO(made["content"]))
    image.load()
    assert Image.MIME[str(image.format)] == made["mime"]
    assert image.size == (made["width"], made["height"])
    assert image.mode in ("RGB", "RGBA", "L")
    return image


def likeness(one: Image.Image, other: Image.Image) -> float:
    """How far the pixels of two pictures are apart on average, of 255."""
    one, other = one.convert("RGB"), other.convert("RGB").resize(one.size)
    bands: list[float] = ImageStat.Stat(ImageChops.difference(one, other)).mean
    return sum(bands) / len(bands)


# --- what fits


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF"])
def test_what_fits_stays_as_it_is(name: str) -> None:
    data = saved(name)
    made = rendered(data, f"image/{name.lower()}", types=USUAL, max_edge=64, max_bytes=len(data))
    assert made == {"content": None, "mime": f"image/{name.lower()}", "width": 64, "height": 48}


@pytest.mark.parametrize(
    ("mime", "data"),
    [
        ("image/bmp", saved("BMP")),
        ("image/tiff", saved("TIFF")),
        ("image/tiff", saved("TIFF", picture().convert("CMYK"))),
        ("image/avif", saved("AVIF")),
        ("image/heic", PHOTO),
        ("image/jpeg", saved("JPEG", picture().convert("CMYK"))),
        ("image/gif", animation("GIF")),
        ("image/webp", animation("WEBP")),
        ("image/png", animation("PNG")),
    ],
)
def test_what_models_do_not_take_is_converted(mime: str, data: bytes) -> None:
    made = rendered(data, mime, types=USUAL)
    assert likeness(seen(made), picture()) < 12


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "image/webp", "image/gif"])
def test_a_rendition_is_of_a_type_that_is_taken(kind: str) -> None:
    assert rendered(saved("BMP"), "image/bmp", types=[kind])["mime"] == kind


def test_a_png_of_sixteen_bits_becomes_one_of_eight() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    row = compress(b"\0" + struct.pack(">6H", 65535, 0, 0, 0, 65535, 0))
    wide = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", row) + chunk(b"IEND", b"")
    made = rendered(wide, "image/png", types=["image/png"])
    assert made["content"][24] == 8
    assert seen(made).convert("RGB").tobytes() == b"\xff\0\0\0\xff\0"


def test_sixteen_bits_keep_their_brightness() -> None:
    ramp = Image.linear_gradient("L")
    wide = ramp.convert("I").point(lambda value: value * 257).convert("I;16")
    assert likeness(seen(rendered(saved("PNG", wide), "image/png", types=USUAL)), ramp) < 2


# --- size


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize(
    ("limit", "size"), [({"max_edge": 100}, (100, 50)), ({"max_pixels": 5000}, (100, 50))]
)
def test_a_larger_picture_is_made_smaller_and_keeps_its_shape(
    name: str, limit: dict[str, int], size: tuple[int, int]
) -> None:
    large = picture().resize((800, 400))
    image = seen(rendered(saved(name, large), f"image/{name.lower()}", types=USUAL, **limit))
    assert image.size == size
    assert likeness(image, large) < 12


def noise(width: int, height: int) -> Image.Image:
    pixels = random.Random(1).randbytes(width * height * 3)
    return Image.frombytes("RGB", (width, height), pixels)


@pytest.mark.parametrize("limit", [30_000, 10_000, 2_000])
@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_a_rendition_has_at_most_the_bytes_that_are_taken(name: str, limit: int) -> None:
    data = saved(name, noise(400, 300))
    made = rendered(data, f"image/{name.lower()}", types=USUAL, max_bytes=limit)
    assert len(made["content"]) <= limit
    seen(made)


def test_a_picture_that_no_size_makes_small_enough_is_refused() -> None:
    with pytest.raises(MediaRefused, match="damaged or cut off"):
        rendered(saved("PNG"), "image/png", types=["image/png"], max_bytes=16)


# --- colours and orientation


def test_the_orientation_of_a_camera_is_applied() -> None:
    upright = Image.new("RGB", (60, 40), "white")
    upright.paste("red", (0, 0, 20, 20))  # top left
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it clockwise
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    image = seen(rendered(saved("JPEG", turned, exif=exif, quality=95), "image/jpeg", max_edge=30))
    assert image.size == (30, 20)
    red, green, _ = image.getpixel((4, 4))  # type: ignore[misc]
    assert red > 200
    assert green < 60


def test_colours_of_a_profile_become_those_that_everybody_assumes() -> None:
    lab = saved("TIFF", Image.new("RGB", (50, 50), (200, 30, 30)))
    odd = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    same = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (same, odd, b"rubbish"):
        data = saved("TIFF", Image.open(io.BytesIO(lab)), icc_profile=profile)
        image = seen(rendered(data, "image/tiff", types=["image/png"]))
        assert "icc_profile" not in image.info
        assert image.getpixel((9, 9)) == (200, 30, 30)


def test_what_is_transparent_stays_so_or_becomes_white() -> None:
    clear = picture().convert("RGBA")
    clear.putalpha(0)
    kept = seen(rendered(saved("TIFF", clear), "image/tiff", types=["image/png", "image/jpeg"]))
    assert kept.mode == "RGBA"
    white = seen(rendered(saved("TIFF", clear), "image/tiff", types=["image/jpeg"]))
    assert white.convert("RGB").getextrema() == ((255, 255), (255, 255), (255, 255))


# --- metadata


def with_gps() -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    exif[0x010F] = "Maker"
    return saved("JPEG", exif=exif)


def test_metadata_stays_unless_it_is_to_go() -> None:
    assert rendered(with_gps(), "image/jpeg", types=USUAL)["content"] is None
    made = rendered(with_gps(), "image/jpeg", types=USUAL, strip_metadata=True)
    assert b"Exif" not in made["content"]
    assert b"Maker" not in made["content"]
    assert rendered(saved("JPEG"), "image/jpeg", strip_metadata=True)["content"] is None


def test_a_rendition_never_has_metadata() -> None:
    assert b"Maker" not in rendered(with_gps(), "image/jpeg", max_edge=30)["content"]


# --- hostile and odd pictures


def test_limits_come_before_a_pixel_is_decoded() -> None:
    with pytest.raises(MediaRefused, match="in all are allowed"):
        rendered(saved("PNG"), "image/png", 64 * 48 - 1, types=["image/jpeg"])


@pytest.mark.parametrize(
    "name",
    [
        "jpeg: no end marker",
        "jpeg: Adobe segment cut short",
        "jpeg: multi-picture",
        "jpeg: EXIF that is none",
        "png: EXIF that is none",
        "png: text with a wrong checksum",
        "png: a profile that grows large",
        "png: transparency too short",
        "gif: a second picture of no pixels",
    ],
)
def test_what_is_taken_as_an_upload_can_be_converted(name: str) -> None:
    mime, data = cases()[name]
    assert seen(rendered(data, mime, types=USUAL, max_edge=30)).size[0] == 30


def test_no_damaged_picture_does_more_than_fail() -> None:
    for mime, data in cases().values():
        try:
            made = rendered(data, mime, types=["image/jpeg"], max_edge=30)
        except MediaRefused:
            continue
        seen(made)


# --- what a model needs, in time


def screenshot() -> Image.Image:
    """Twelve megapixels with text as a display of double density shows it."""
    page = Image.new("RGB", (4000, 3000), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(40)
    for line, words in enumerate(TEXT):
        draw.text((200, 200 + line * 80), words, "black", font)
    return page


TEXT = [
    f"Line {number} of the report says that account {number * 7919 % 10007} is open"
    for number in range(30)
]


def read_by_ocr(image: Image.Image) -> set[str]:
    program = shutil.which("tesseract")
    assert program is not None, "tesseract-ocr is not installed: run make setup"
    done = subprocess.run(
        [program, "-", "-", "--psm", "6"],
        env={**os.environ, "OMP_THREAD_LIMIT": "1"},  # its threads mostly wait for each other
        input=saved("PNG", image),
        capture_output=True,
        check=True,
    )
    return {*done.stdout.decode().split()}


@pytest.mark.parametrize(("name", "mime"), [("PNG", "image/png"), ("JPEG", "image/jpeg")])
def test_text_in_a_screenshot_of_twelve_megapixels_stays_readable(name: str, mime: str) -> None:
    page = screenshot()
    before = read_by_ocr(page.resize((2000, 1500)))
    made = rendered(saved(name, page), mime, types=USUAL, max_edge=2000, max_bytes=5 << 20)
    after = read_by_ocr(seen(made))
    numbers = {words.split()[-3] for words in TEXT}
    assert len(numbers & before) >= 28
    assert len(numbers & after) >= len(numbers & before) - 1


def test_a_jpeg_of_twelve_megapixels_is_made_to_fit() -> None:
    blurred = noise(400, 300).resize((4000, 3000)).filter(ImageFilter.GaussianBlur(1))
    data = saved("JPEG", blurred, quality=97)
    wanted = {"types": USUAL, "max_bytes": 5 * 1024 * 1024 * 3 // 4, "max_edge": 8000}
    assert len(data) > 5 * 1024 * 1024 * 3 // 4
    made = steps.render(io.BytesIO(data), "image/jpeg", 10**8, wanted)
    assert made["content"] is not None
