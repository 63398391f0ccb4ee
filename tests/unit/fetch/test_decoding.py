"""Undoing a Content-Encoding."""

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jan_media.fetch.decoding import Decoder

from tests.fuzz.readers.content_encoding import assert_comes_back, assert_same_in_pieces_as_in_one

sizes = st.integers(1, 60)


@given(st.binary(max_size=2000), sizes)
def test_any_content_comes_back_however_it_was_compressed(content: bytes, size: int) -> None:
    assert_comes_back(content, size)


def test_content_a_little_longer_than_a_piece_comes_back() -> None:
    for more in range(0, 300, 5):
        assert_comes_back(b"\0" * (65536 + more), 65536)


@given(st.sampled_from(["gzip", "deflate"]), st.binary(max_size=200), sizes)
def test_any_bytes_mean_the_same_in_pieces_as_in_one(
    encoding: str, content: bytes, size: int
) -> None:
    assert_same_in_pieces_as_in_one(encoding, content, size)


@pytest.mark.parametrize(
    ("encoding", "compressed"),
    [("gzip", gzip.compress(b"content")), ("deflate", zlib.compress(b"content"))],
    ids=["gzip", "deflate"],
)
def test_what_comes_behind_the_end_is_not_kept(encoding: str, compressed: bytes) -> None:
    """Each piece would be copied with all before it, which takes minutes if they are small."""
    decoder = Decoder(encoding)
    assert b"".join(decoder.feed(compressed)) == b"content"
    tracemalloc.start()
    for _ in range(100):
        assert list(decoder.feed(b"\0" * 10_000)) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000
    decoder.close()
