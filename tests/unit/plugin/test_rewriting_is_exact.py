"""Rewriting agrees with a slow reference that parses everything, on any body."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jan_media_plugin.exchange import Edit, edited
from jan_media_plugin.rewrite.candidates import TooComplex
from jan_media_plugin.rewrite.parsed import NotJson

from tests.fuzz.readers.rewriting import (
    URL,
    assert_found_and_named_as_the_reference_does,
    assert_rewritten_as_the_reference_does,
    assert_the_reference_takes_for_json_what_the_standard_library_takes,
    found,
    rewrite,
)
from tests.support.fuzzing import examples
from tests.unit.plugin.bodies import ID, bodies, damaged_bodies


@given(bodies())
@settings(max_examples=examples(400), deadline=None)
def test_any_json_is_rewritten_as_the_reference_does(body: bytes) -> None:
    assert_rewritten_as_the_reference_does(body)


@given(damaged_bodies())
@settings(max_examples=examples(800), deadline=None)
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
@settings(max_examples=examples(400), deadline=None)
def test_each_id_is_found_with_its_canonical_form_and_the_name_of_its_place(body: bytes) -> None:
    assert_found_and_named_as_the_reference_does(body)


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
    assert found(body) == []


def test_deep_nesting_is_looked_through() -> None:
    body = b"[" * 400 + b'{"image_url":"%b"}' % ID.encode() + b"]" * 400
    assert len(found(body)) == 1


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nesting_beyond_reason_is_refused_if_there_may_be_an_id(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    with pytest.raises(TooComplex):
        found(opening * 100_000 + b'"%b"' % ID.encode() + closing * 100_000)


def test_a_body_of_more_parts_than_can_be_walked_soon_is_refused() -> None:
    with pytest.raises(TooComplex):
        found(b"[" + b"{}," * 400_000 + b'{"image_url":"%b"}]' % ID.encode())


@pytest.mark.parametrize(
    "around",
    [
        '{"x":NaN,%s}',
        '{"x":[-Infinity,Infinity],%s}',
        '{"x":"cut \\ud83d",%s}',
        '{"x":"a\tb",%s}',
        '{"x":' + "9" * 5000 + ",%s}",
        '{"x":1e999,%s}',
    ],
)
def test_json_as_model_servers_take_it_is_rewritten(around: str) -> None:
    body = around % f'"image_url":"{ID}"'
    assert rewrite(body.encode()) == body.replace(ID, URL).encode()


def test_bytes_that_are_no_utf_8_stay_as_they_are() -> None:
    body = b'{"x":"Stra\xdfe","image_url":"%b"}' % ID.encode()
    assert rewrite(body) == body.replace(ID.encode(), URL.encode())


@pytest.mark.parametrize("body", ['{"image_url":"%s",}', '{\'a\':1,"image_url":"%s"}', "%s"])
def test_what_is_no_json_is_told_apart(body: str) -> None:
    with pytest.raises(NotJson):
        found((body % ID).encode())


def test_a_text_that_looks_like_a_mark_is_no_mark() -> None:
    """Where candidates stand is found by marks, which no client can write."""
    body = f'{{"image_url":"0:0","image_url":"{ID}","a":"{"0" * 32}:0"}}'
    assert rewrite(body.encode()) == body.replace(ID, URL).encode()


@given(st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=5)), max_size=5), st.binary())
def test_edits_replace_their_spans_and_nothing_else(
    pieces: list[tuple[bytes, bytes]], rest: bytes
) -> None:
    body, expected, edits = b"", b"", []
    for kept, replacement in pieces:
        body += kept
        edits.append(Edit(len(body), len(body) + 3, replacement))
        body += b"old"
        expected += kept + replacement
    assert edited(body + rest, edits) == expected + rest
