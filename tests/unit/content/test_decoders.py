"""Pictures are decoded in processes whose time is limited, and that may die."""

import io
import tempfile

import pytest
from jan_media.content import decoders as module
from jan_media.content.decoders import Decoders
from jan_media.content.refusals import MediaRefused, TooExpensive
from PIL import Image

from tests.unit.content.damage import saved

SMALL = saved("PNG")


def check(decoders: Decoders, data: bytes, mime: str = "image/png") -> None:
    decoders.run("check", io.BytesIO(data), len(data), mime, max_pixels=10**8)


@pytest.fixture(scope="module")
def slow() -> bytes:
    """A small JPEG that takes seconds to decode: every scan goes over all of it."""
    whole = saved("JPEG", Image.new("RGB", (6000, 6000)), progressive=True)
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + scan * 90 + whole[-2:]


@pytest.mark.parametrize(("limit", "seconds"), [("CPU_SECONDS", 0), ("WALL_SECONDS", 1)])
def test_a_picture_that_takes_too_long_costs_its_process_and_no_other_picture(
    slow: bytes, limit: str, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoders = Decoders(1)
    check(decoders, SMALL)
    monkeypatch.setattr(module, limit, seconds)
    with pytest.raises(TooExpensive, match="save it smaller"):
        check(decoders, slow, "image/jpeg")
    monkeypatch.undo()
    check(decoders, SMALL)


def test_a_picture_that_takes_too_much_memory_costs_no_other_picture() -> None:
    decoders = Decoders(1)
    with tempfile.TemporaryFile() as file:
        file.write(saved("JPEG"))
        file.truncate(2 << 30)
        with pytest.raises(TooExpensive):
            decoders.run("check", file, 2 << 30, "image/jpeg", max_pixels=10**6)
    check(decoders, SMALL)


def test_a_process_goes_on_after_a_picture_that_is_no_good() -> None:
    decoders = Decoders(1)
    for _ in range(3):
        with pytest.raises(MediaRefused, match="damaged or cut off"):
            check(decoders, SMALL[:200])
        check(decoders, SMALL)


def test_a_large_file_is_handed_over_open() -> None:
    data = saved("BMP", Image.new("RGB", (600, 400)))
    with tempfile.TemporaryFile() as file:
        file.write(data)
        answer = Decoders(1).run("render", file, len(data), "image/bmp", max_pixels=10**8, fit={})
    assert (answer["width"], answer["height"]) == (600, 400)
