"""Valid storage keys, none of which leads out of a folder."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jan_media.storage.interface import require_key


@pytest.mark.parametrize("text", ["a", "a/b/c", "content/ab/0.png", "a.b", "..a", "a..", ".a", "-"])
def test_these_are_keys(text: str) -> None:
    assert require_key(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a\n", "A", "a\\b", "a%2fb"],
)
def test_these_are_not(text: str) -> None:
    with pytest.raises(ValueError, match="not a storage key"):
        require_key(text)


@given(st.text("ab./_-", max_size=30))
def test_a_key_stays_below_any_folder(text: str) -> None:
    inside = (Path("/folder") / text).resolve().is_relative_to("/folder/")

    with contextlib.suppress(ValueError):
        require_key(text)
        assert inside
        assert Path(text).parts == tuple(text.split("/"))
