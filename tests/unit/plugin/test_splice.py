"""splice.lua makes the edits that the plugin leaves, byte for byte, or ends the request."""

from pathlib import Path
from typing import Any

import jan_media_plugin
import lupa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jan_media_plugin.rewrite.edits import Edit, apply_edits, for_splice

SPLICE = (Path(jan_media_plugin.__file__).parent / "splice.lua").read_text()


def splice(body: bytes, edits: Any) -> dict[str, Any]:
    """Run it in Lua with as much of Kong as it needs: what was set, or the answer's status."""
    lua: Any = lupa.LuaRuntime(encoding=None)
    kong = lua.execute(
        b"""
        local result = {}
        kong = {
          ctx = { shared = {} },
          request = { get_raw_body = function(limit) return limit == 0 and body or nil end },
          service = { request = { set_raw_body = function(new) result.body = new end } },
          response = { exit = function(status) result.status = status end },
        }
        return { kong = kong, result = result }
        """
    )
    lua.globals()[b"body"] = body
    if edits is not None:
        rows = [lua.table(*(x.encode() if isinstance(x, str) else x for x in row)) for row in edits]
        kong[b"kong"][b"ctx"][b"shared"][b"jan_media_edits"] = lua.table(*rows)
    lua.execute(SPLICE.encode())
    return {key.decode(): value for key, value in kong[b"result"].items()}


@given(
    st.lists(st.tuples(st.binary(max_size=20), st.binary(min_size=1, max_size=40)), min_size=1),
    st.binary(max_size=20),
)
@settings(max_examples=60, deadline=None)
def test_it_makes_the_same_body_as_the_plugin_would(
    pieces: list[tuple[bytes, bytes]], rest: bytes
) -> None:
    body, edits = b"", []
    for kept, old in pieces:
        body += kept + b'"'
        edits.append(Edit(len(body), len(body) + len(old), "https://new/\\u00fc"))
        body += old + b'"'
    body += rest
    assert splice(body, for_splice(edits)) == {"body": apply_edits(body, edits)}


def test_a_request_without_edits_is_left_alone() -> None:
    assert splice(b'{"a":"b"}', None) == {}


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
    assert splice(b'{"a":"b"}', edits) == {"status": 500}
