"""Rewriting agrees with a slow reference that parses everything, on any body whatever."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jan_media_plugin.rewrite.edits import Edit, apply_edits, to_inside_of_string
from jan_media_plugin.rewrite.find import TooComplex, find_media, name_place
from jan_media_plugin.rewrite.walk import MAX_DEPTH

from tests.fuzz.readers.rewriting import (
    PLACES,
    URL,
    assert_found_and_named_as_the_reference_does,
    assert_rewritten_as_the_reference_does,
    assert_the_reference_takes_for_json_what_the_standard_library_takes,
    rewrite,
)
from tests.support.fuzzing import examples
from tests.unit.plugin.bodies import ID, bodies, damaged_bodies


@given(bodies())
@settings(max_examples=examples(200), deadline=None)
def test_any_json_is_rewritten_as_the_reference_does(body: bytes) -> None:
    assert_rewritten_as_the_reference_does(body)


@given(damaged_bodies())
@settings(max_examples=examples(400), deadline=None)
@example(b'{"image_url":"' + ID.encode() + b'"')
@example(b'{"image_url":"' + ID.encode() + b'",}')
@example(b'{"image_url":"' + ID.encode() + b'".5}')
@example(b'{"image_url":"' + ID.encode() + b'","a":1.}')
@example(b'"' + ID.encode() + b'"e5')
@example(b'{"image_url":"' + ID.encode() + b'"}}')
@example(b'{"a":"\x01","image_url":"' + ID.encode() + b'"}')
@example(b'{"a":"' + b"x" * 5000 + b'\n","image_url":"' + ID.encode() + b'"}')
@example(b"[[" + b"[1]," * 60 + b'[01]],{"image_url":"' + ID.encode() + b'"}]')
@example(b"[[" + b"[1]," * 60 + b'[NaN]],{"image_url":"' + ID.encode() + b'"}]')
def test_what_is_not_quite_json_is_rewritten_as_the_reference_does(body: bytes) -> None:
    assert_rewritten_as_the_reference_does(body)


@given(bodies())
@settings(max_examples=examples(200), deadline=None)
def test_each_id_is_found_with_its_canonical_form_and_the_name_of_its_place(body: bytes) -> None:
    assert_found_and_named_as_the_reference_does(body)


def test_a_place_behind_more_parts_than_are_counted_has_no_name() -> None:
    body = b'{"n":[' + b"1," * 150_000 + b'1],"image_url":"%b"}' % ID.encode()
    assert len(find_media(body, PLACES)) == 1
    assert name_place(body, PLACES, 0) is None


@given(st.one_of(bodies(), damaged_bodies()))
@settings(max_examples=examples(200), deadline=None)
def test_the_reference_takes_for_json_what_the_standard_library_takes(body: bytes) -> None:
    assert_the_reference_takes_for_json_what_the_standard_library_takes(body)


@given(st.integers(0, 3), st.integers(0, 40_000), st.integers(0, 40_000), st.booleans())
@settings(max_examples=examples(40), deadline=None)
def test_bytes_outside_the_replaced_strings_stay_whatever_is_around_them(
    ids: int, before: int, after: int, pretty: bool
) -> None:
    parts: list[Any] = [{"image_url": {"url": ID}} for _ in range(ids)]
    document = {
        "a": ["x" * (before % 7000), {"n": [1.0] * (before % 50)}] * (before // 7000),
        "content": parts,
        "tools": [{"p": {"q": {"r": list(range(20))}}}] * (after // 100),
        "z": '\n"é' * after,
    }
    text = json.dumps(document, indent=1 if pretty else None)
    assert rewrite(text.encode()) == text.replace(ID, URL).encode()


@pytest.mark.parametrize("size", [1 << 10, 64 << 10, 1 << 20, 10 << 20, 32 << 20])
def test_ids_at_the_first_and_the_last_possible_byte_of_a_body_of_any_size(size: int) -> None:
    frame = '{"image_url":"%s","x":"%s","source":{"url":"%s"}}'
    filling = "A" * (size - len(frame % (ID, "", ID)))
    body = (frame % (ID, filling, ID)).encode()
    assert len(body) == size
    assert rewrite(body) == (frame % (URL, filling, URL)).encode()


def _escaped(text: str) -> str:
    """Each unit of UTF-16 as an escape."""
    units = text.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


@pytest.mark.parametrize(
    "spelling",
    [
        "data:image/\\u0061" + "x" * 60 + "\\u003b\\u006aan_" + ID[4:],
        _escaped(f"data:{'x' * 64}/{'y' * 64};{ID}"),
        # letters of two escapes each
        _escaped(f"data:{'𝒜' * 64}/{'𝒜' * 64};{ID}"),
    ],
)
def test_a_placeholder_is_found_however_long_its_spelling(spelling: str) -> None:
    assert rewrite(f'{{"image_url":"{spelling}"}}'.encode()) == f'{{"image_url":"{URL}"}}'.encode()


def test_utf_16_is_left_alone() -> None:
    body = json.dumps({"image_url": ID}).encode("utf-16")
    assert rewrite(body) == body


def test_both_values_of_a_key_that_occurs_twice_are_rewritten() -> None:
    body = f'{{"image_url":"{ID}","image_url":"{ID}"}}'
    assert rewrite(body.encode()) == body.replace(ID, URL).encode()


def test_ids_in_prose_keys_tool_arguments_and_metadata_are_left_alone() -> None:
    body = json.dumps(
        {
            "metadata": {"image_url": {"url": ID}},
            "messages": [
                {"content": f"What is {ID}?", ID: 1},
                {"tool_calls": [{"function": {"arguments": json.dumps({"image_url": ID})}}]},
                {"content": [{"type": "tool_use", "input": {"image_url": {"url": ID}}}]},
                {"content": ID},
            ],
        }
    ).encode()
    assert find_media(body, PLACES) == []


def test_deep_nesting_below_the_limit_is_looked_through() -> None:
    body = b"[" * 400 + b'{"image_url":"%b"}' % ID.encode() + b"]" * 400
    assert len(find_media(body, PLACES)) == 1


@pytest.mark.parametrize("levels", [450, 1500, 200_000])
def test_nesting_behind_the_last_id_is_passed_over_or_refused_but_never_taken_for_no_json(
    levels: int,
) -> None:
    """How deep the parser in C goes is another matter in each version of Python."""
    body = b'[{"image_url":"%b"},' % ID.encode() + b"[" * levels + b"]" * levels + b"]"
    try:
        assert len(find_media(body, PLACES)) == 1
    except TooComplex:
        assert levels > MAX_DEPTH


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nesting_beyond_the_limit_is_refused_if_there_may_be_an_id(opening: bytes) -> None:
    with pytest.raises(TooComplex):
        find_media(opening * 100_000 + b'"%b"' % ID.encode(), PLACES)
    assert find_media(opening * 100_000, PLACES) == []


def test_a_url_with_quotes_and_other_letters_is_escaped() -> None:
    url = 'https://x/"\\\n\u00fc\U0001f600'
    inside = to_inside_of_string(url)
    assert inside.isascii()
    assert json.loads(f'"{inside}"') == url


@given(st.lists(st.tuples(st.binary(max_size=5), st.text(max_size=5)), max_size=5), st.binary())
def test_edits_replace_their_spans_and_nothing_else(
    pieces: list[tuple[bytes, str]], rest: bytes
) -> None:
    body, expected, edits = b"", b"", []
    for kept, replacement in pieces:
        body += kept
        edits.append(Edit(len(body), len(body) + 3, replacement))
        body += b"old"
        expected += kept + replacement.encode()
    assert apply_edits(body + rest, edits) == expected + rest
