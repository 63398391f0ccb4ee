"""in_kong.lua takes along what the plugin asks for, and a body only if it may hold an id."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jan_media_plugin.rewrite.candidates import candidates

from tests.support.fuzzing import examples
from tests.unit.plugin.bodies import ID, bodies
from tests.unit.plugin.in_lua import gather


def of(body: bytes, content_type: str = "application/json", **more: str) -> tuple[object, bool]:
    """Return what it gathers of a body (None: nothing), and whether it read it."""
    headers = {"content-type": content_type, "content-length": str(len(body)), **more}
    gathered, read = gather(headers, body)
    return gathered.get("body"), read


@given(st.one_of(bodies(), st.binary(max_size=50)))
@settings(max_examples=examples(100), deadline=None)
def test_a_body_is_left_behind_only_if_there_is_no_candidate_in_it(body: bytes) -> None:
    gathered, _ = of(body)
    assert isinstance(gathered, str)
    if gathered == "":
        assert candidates(body, 1) == []
    else:
        assert gathered.encode("utf-8", "surrogateescape") == body


@pytest.mark.parametrize(
    "spelling", [ID, ID.upper(), ID.title(), "\\u006aan_0", "jan\\u005f0", "\\u004A\\u0041N_0"]
)
def test_what_may_spell_an_id_goes_along(spelling: str) -> None:
    body = f'{{"image_url":"{spelling}"}}'
    assert of(body.encode()) == (body, True)


@pytest.mark.parametrize("before", [0, 1, 48, 49, 50, 51, 52, 500])
def test_what_may_spell_an_id_goes_along_behind_any_number_of_underscores(before: int) -> None:
    for word in ("_", "Jan-_", "jan0_"):
        assert of(b'"%bJaN_"' % (word.encode() * before)) == (f'"{word * before}JaN_"', True)
        assert of(b'"%bJaN-"' % (word.encode() * before)) == ("", True)


def test_a_chat_without_ids_is_left_behind() -> None:
    assert of(b'{"messages":[{"content":"January"}]}') == ("", True)


@pytest.mark.parametrize("content_type", ["", "image/png", "multipart/form-data; boundary=x"])
def test_other_bodies_are_not_read(content_type: str) -> None:
    assert of(b"jan_", content_type) == (None, False)


@pytest.mark.parametrize("length", ["1048577", "", "x", "99999999999999999999"])
def test_a_long_body_and_one_of_unknown_length_are_left_to_be_asked_for(length: str) -> None:
    assert of(b"jan_", **{"content-length": length}) == (None, False)


def test_a_body_of_some_length_that_may_hold_an_id_is_left_to_be_asked_for() -> None:
    assert of(b'"jan_0' + b" " * 70_000) == (None, True)
    assert of(b'"joe_0' + b" " * 70_000) == ("", True)


def test_headers_go_along_as_lua_has_them() -> None:
    headers = {"host": "a", "x-two": ["b", "c"], "x-empty": "", "x-bytes": "\udcff"}
    gathered, read = gather(headers, b"")
    assert gathered == {"headers": {**headers, "x-empty": True}}
    assert not read
