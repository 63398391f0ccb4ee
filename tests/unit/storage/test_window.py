"""A stretch of a file as a file of its own."""

import io

import pytest
from jan_media.storage.window import Window, window_of


def test_a_window_reads_its_stretch_and_nothing_else() -> None:
    source = io.BytesIO(b"0123456789")
    source.seek(2)

    window = window_of(source, 5)

    assert len(window) == 5
    assert window.read(2) == b"23"
    assert window.read() == b"456"
    assert window.read(1) == b""


def test_a_window_rewinds_to_its_own_start() -> None:
    window = Window(io.BytesIO(b"0123456789"), 4, 3)
    window.read()

    assert window.seek(0) == 0
    assert window.read() == b"456"
    assert window.seek(-2, io.SEEK_END) == 1
    assert window.seek(1, io.SEEK_CUR) == 2
    assert window.tell() == 2


def test_windows_of_one_source_do_not_disturb_each_other() -> None:
    source = io.BytesIO(b"aaabbb")
    first, second = Window(source, 0, 3), Window(source, 3, 3)

    assert [first.read(1), second.read(1), first.read(), second.read()] == [
        b"a",
        b"b",
        b"aa",
        b"bb",
    ]


def test_a_source_that_is_too_short_is_refused_and_left_where_it_was() -> None:
    source = io.BytesIO(b"abc")
    source.seek(1)

    with pytest.raises(ValueError, match="2 bytes left, 3 were announced"):
        window_of(source, 3)

    assert source.tell() == 1
