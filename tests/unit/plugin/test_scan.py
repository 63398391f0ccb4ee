"""scan.lua spares the plugin a body only if the plugin would find no candidate in it."""

from pathlib import Path
from typing import Any

import jan_media_plugin
import lupa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jan_media_plugin.rewrite.candidates import Candidates

from tests.unit.plugin.bodies import ID, bodies

SCAN = (Path(jan_media_plugin.__file__).parent / "scan.lua").read_text()


def scan(body: bytes, content_type: bytes | None = b"application/json") -> list[str]:
    """Run it in Lua: what it did to the header."""
    lua: Any = lupa.LuaRuntime(encoding=None)
    done: list[str] = []
    lua.globals()[b"body"] = body
    lua.globals()[b"content_type"] = content_type
    lua.globals()[b"done"] = lambda what: done.append(what.decode())
    lua.execute(
        b"""
        kong = {
          request = {
            get_header = function() return content_type end,
            get_raw_body = function(limit) return limit == 0 and body or nil end,
          },
          service = { request = {
            set_header = function(name, value) done(name .. ": " .. value) end,
            clear_header = function(name) done("no " .. name) end,
          } },
        }
        """
    )
    lua.execute(SCAN.encode())
    return done


@given(st.one_of(bodies(), st.binary(max_size=50)))
@settings(max_examples=100, deadline=None)
def test_it_speaks_of_no_ids_only_where_there_is_no_candidate(body: bytes) -> None:
    if scan(body) == ["X-Jan-Media-Ids: none"]:
        assert Candidates(body).after(0) == len(body)
    else:
        assert scan(body) == ["no X-Jan-Media-Ids"]


@pytest.mark.parametrize(
    "spelling", [ID, ID.upper(), ID.title(), "\\u006aan_0", "jan\\u005f0", "\\u004A\\u0041N_0"]
)
def test_it_passes_on_what_may_spell_an_id(spelling: str) -> None:
    assert scan(b'{"image_url":"%b"}' % spelling.encode()) == ["no X-Jan-Media-Ids"]


def test_a_chat_without_ids_is_spared() -> None:
    assert scan(b'{"messages":[{"content":"January"}]}') == ["X-Jan-Media-Ids: none"]


@pytest.mark.parametrize("content_type", [None, b"image/png"])
def test_other_bodies_are_not_read(content_type: bytes | None) -> None:
    assert scan(b"jan_", content_type) == []
