"""apply.lua does what the plugin decided, to the byte, or ends the request."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jan_media_plugin.rewrite.edits import Edit, apply_edits, for_lua

from tests.support.fuzzing import examples
from tests.unit.plugin.in_lua import Done, apply


def decided(**what: Any) -> dict[str, Any]:
    """Return what the plugin leaves for a caller who is admitted."""
    return {"authenticated_groups": {1: "jan-users", "jan_media": what}}


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
    assert apply(decided(edits=for_lua(edits)), body) == Done(body=apply_edits(body, edits))


@pytest.mark.parametrize("size", [1 << 10, 64 << 10, 1 << 20, 10 << 20, 32 << 20])
def test_a_body_of_any_size_is_exact_with_ids_at_its_first_and_last_possible_byte(
    size: int,
) -> None:
    body = b'"' + b"a" * 30 + b'"' + b"\xff" * (size - 64) + b'"' + b"z" * 30 + b'"'
    edits = [Edit(1, 31, "first"), Edit(size - 31, size - 1, "last")]
    assert apply(decided(edits=for_lua(edits)), body) == Done(body=apply_edits(body, edits))


def test_headers_are_set_and_removed() -> None:
    headers = {"X-Jan-User-Id": "alice\udcff", "authorization": []}
    assert apply(decided(headers=headers), b"") == Done(headers=headers)


def test_a_route_without_auth_has_its_decisions_beside_the_groups() -> None:
    assert apply({"jan_media": {"headers": {"a": "b"}}}, b"") == Done(headers={"a": "b"})


@pytest.mark.parametrize(
    "shared", [{}, {"authenticated_groups": ["jan-users"]}, {"authenticated_groups": {}}]
)
def test_a_request_that_jan_media_has_not_decided_on_is_refused(shared: dict[str, Any]) -> None:
    assert apply(shared, b'{"a":"b"}') == Done(status=503, open=False)


@pytest.mark.parametrize("shared", [decided(), {"jan_media": {}}])
def test_a_request_with_nothing_decided_is_left_alone(shared: dict[str, Any]) -> None:
    assert apply(shared, b'{"a":"b"}') == Done()


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
def test_edits_that_do_not_fit_the_body_end_the_request(edits: list[Any]) -> None:
    assert apply(decided(edits=edits), b'{"a":"b"}') == Done(status=500, open=False)
