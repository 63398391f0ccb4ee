"""The last call has Kong do what the plugin decided, to the byte, or end the request."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jan_media_plugin.rewrite.edits import Edit, apply_edits, for_lua

from tests.support.fuzzing import examples
from tests.unit.plugin.in_lua import Done, finish


@given(
    st.lists(st.tuples(st.binary(max_size=20), st.binary(min_size=1, max_size=40)), min_size=1),
    st.binary(max_size=20),
)
@settings(max_examples=examples(60), deadline=None)
def test_edits_make_the_same_body_as_the_plugin_would(
    pieces: list[tuple[bytes, bytes]], rest: bytes
) -> None:
    body, edits = b"", []
    for kept, old in pieces:
        body += kept + b'"'
        edits.append(Edit(len(body), len(body) + len(old), "https://new/\\u00fc"))
        body += old + b'"'
    body += rest
    assert finish([False, False, for_lua(edits)], body) == Done(body=apply_edits(body, edits))


@pytest.mark.parametrize("size", [1 << 10, 64 << 10, 1 << 20, 10 << 20, 32 << 20])
def test_a_body_of_any_size_is_exact_with_ids_at_its_first_and_last_possible_byte(
    size: int,
) -> None:
    body = b'"' + b"a" * 30 + b'"' + b"\xff" * (size - 64) + b'"' + b"z" * 30 + b'"'
    edits = [Edit(1, 31, "first"), Edit(size - 31, size - 1, "last")]
    assert finish([False, False, for_lua(edits)], body) == Done(body=apply_edits(body, edits))


def test_headers_are_set_and_removed() -> None:
    headers = {"X-Jan-User-Id": "alice\udcff", "authorization": []}
    assert finish([headers, False], b"") == Done(headers=headers)


def test_acl_and_kongs_other_plugins_learn_who_is_calling() -> None:
    identity = [{"id": "1", "username": "alice"}, {"id": "1", "consumer_id": "1"}]
    done = finish([False, ["jan-users", "staff"], False, *identity], b"")
    assert done == Done(groups=["jan-users", "staff"], identity=identity)


def test_a_request_with_nothing_decided_is_left_alone_and_let_through() -> None:
    assert finish([False, False], b'{"a":"b"}') == Done()


@pytest.mark.parametrize(
    "edits",
    [
        [[7, 7, 5]],
        [[7, 99, "x"]],
        [[0, 3, "x"]],
        [[4, 4, "x"]],
        [[7, 6, "x"]],
        [[7, 7, "x"], [7, 7, "x"]],
        [],
    ],
)
def test_edits_that_do_not_fit_the_body_end_the_request_ungranted(edits: list[Any]) -> None:
    granted = [{"X-Jan-User-Id": "alice"}, ["jan-users"], edits, {"id": "1"}, {"id": "1"}]
    assert finish(granted, b'{"a":"b"}') == Done(status=500, open=False)
