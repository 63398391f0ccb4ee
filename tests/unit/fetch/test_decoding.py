"""Undoing a Content-Encoding."""

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.readers.content_encoding import assert_comes_back, assert_same_in_pieces_as_in_one

sizes = st.integers(1, 60)


@given(st.binary(max_size=2000), sizes)
def test_any_content_comes_back_however_it_was_compressed(content: bytes, size: int) -> None:
    assert_comes_back(content, size)


@given(st.sampled_from(["gzip", "deflate"]), st.binary(max_size=200), sizes)
def test_any_bytes_mean_the_same_in_pieces_as_in_one(
    encoding: str, content: bytes, size: int
) -> None:
    assert_same_in_pieces_as_in_one(encoding, content, size)
