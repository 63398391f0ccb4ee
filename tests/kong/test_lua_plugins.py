"""What Kong's development kit does for an ordinary Lua plugin, byte for byte."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kong.gateway import config, lua, route, running
from tests.support.raw_http import Upstream, ask

CLOSED = 'ngx.var.upstream_scheme = "closed-" .. ngx.var.upstream_scheme'
# Each is the access phase of a route of this name.
CODES = {
    "sets": """
        local sent = kong.request.get_header("x-in")
        kong.service.request.set_header("x-out", sent:reverse() .. #sent)
        kong.service.request.set_headers({ ["x-many"] = { "a", "b" }, ["x-number"] = 3 })
        kong.service.request.clear_header("x-in")
    """,
    "spelling": """
        local h = kong.request.get_headers()
        kong.service.request.set_header("x-seen", h["X-In"] .. h.x_in .. tostring(h["x-none"]))
    """,
    "splices": """
        local body = kong.request.get_raw_body(0)
        local first, last = body:find("MARK", 1, true)
        body = body:sub(1, first - 1) .. "\\255new" .. body:sub(last + 1)
        kong.service.request.set_raw_body(body)
    """,
    "limits": """
        local body, err = kong.request.get_raw_body()
        local over, why = kong.request.get_raw_body(10000)
        kong.service.request.set_headers({ ["x-body"] = tostring(body), ["x-err"] = err,
                                           ["x-why"] = why, ["x-over"] = tostring(over) })
    """,
    "shared": """
        kong.ctx.shared.t = {}
        kong.ctx.shared.t.inner = "kept"
        kong.service.request.set_header("x-inner", kong.ctx.shared.t.inner)
    """,
    "exit": 'kong.response.exit(418, { a = "b/c" }, { ["X-Y"] = "z" }) error("not reached")',
    "closed": CLOSED,
    "opened": f'{CLOSED} ngx.var.upstream_scheme = ngx.var.upstream_scheme:gsub("^closed%-", "")',
    "pcall": """
        local ok = pcall(kong.service.request.set_header, "x", {{}})
        kong.service.request.set_header("x-ok", tostring(ok) .. kong.request.get_raw_body())
    """,
    "yields": """
        kong.service.request.set_header("x-before", "1")
        coroutine.yield()
        kong.service.request.set_header("x-after", "1")
    """,
    "many": """
        kong.ctx.shared.t = { { 1, "x" } }
        local parts = {}
        for i = 1, 50 do
          parts[i] = { i, kong.request.get_headers() }
        end
        local me = parts[50][2]["x-me"]
        kong.response.exit(200, me .. kong.request.get_raw_body())
    """,
    "error-1": 'error("boom")',
    "error-2": 'ngx.var.request_uri = "/b"',
    "error-3": "local x = nil; x.y = 1",
    "error-4": 'require("no.such.module")',
    "error-5": "kong.nonesuch.call()",
    "error-6": 'kong.service.request.set_header("x", {{}})',
    "error-7": 'kong.response.exit("401")',
}
ERRORS = [name for name in CODES if name.startswith("error")]


@pytest.fixture(scope="module")
def port(folder: Path, served: Upstream) -> Iterator[int]:
    """A gateway with a route for each code."""
    answers = lua(
        header_filter='kong.response.set_header("X-Status", kong.response.get_status())',
        body_filter="if ngx.arg[1] then ngx.arg[1] = ngx.arg[1]:upper() end",
    )
    routes = [route(name, lua(code)) for name, code in CODES.items()]
    with running(folder, config(served.port, *routes, route("answer", answers))) as port:
        yield port


def test_lua_reads_and_sets_any_bytes(port: int, up: Upstream) -> None:
    ask(port, "/sets", b"X-In: \xff\x80")
    assert up.last.get(b"x-out") == b"\x80\xff2"
    assert up.last.get_all(b"x-many") == [b"a", b"b"]
    assert up.last.get(b"x-number") == b"3"
    assert up.last.get(b"x-in") is None


def test_tables_of_headers_answer_to_any_spelling(port: int, up: Upstream) -> None:
    ask(port, "/spelling", b"x-in: 1")
    assert up.last.get(b"x-seen") == b"11nil"


@pytest.mark.parametrize("size", [10, 9_000, 3_000_000])
def test_lua_splices_a_body_of_any_size(port: int, up: Upstream, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"MARK" + b"\x00\xff"
    ask(port, "/splices", method=b"POST", body=body)
    assert up.last.body == body.replace(b"MARK", b"\xffnew")


def test_a_body_that_is_not_in_memory_is_a_failure_without_a_limit(port: int, up: Upstream) -> None:
    ask(port, "/limits", method=b"POST", body=b"x" * 20000)
    assert up.last.get(b"x-body") == up.last.get(b"x-over") == b"nil"
    assert (up.last.get(b"x-err") or b"").startswith(b"request body did not fit")
    assert up.last.get(b"x-why") == b"request body file too big: 20000 > 10000"


def test_a_table_in_ctx_shared_is_one_table_for_all(port: int, up: Upstream) -> None:
    ask(port, "/shared")
    assert up.last.get(b"x-inner") == b"kept"


def test_exit_ends_the_request_at_once(port: int, up: Upstream) -> None:
    got = ask(port, "/exit")
    assert (got.status, got.body) == (418, b'{"a":"b/c"}')
    assert got.get(b"content-type") == b"application/json; charset=utf-8"
    assert got.get(b"x-y") == b"z"
    assert up.requests == []


def test_a_scheme_that_nginx_does_not_know_leads_nowhere(port: int, up: Upstream) -> None:
    got = ask(port, "/closed")
    assert got.status == 500
    assert b"An unexpected error occurred" in got.body
    assert up.requests == []
    assert ask(port, "/opened").status == 200


@pytest.mark.parametrize("name", ERRORS)
def test_a_lua_error_is_500(port: int, up: Upstream, name: str) -> None:
    got = ask(port, f"/{name}")
    assert got.status == 500
    assert json.loads(got.body)["message"] == "An unexpected error occurred"
    assert up.requests == []


def test_the_kit_works_inside_pcall(port: int, up: Upstream) -> None:
    ask(port, "/pcall", method=b"POST", body=b"z")
    assert up.last.get(b"x-ok") == b"falsez"


def test_a_function_that_yields_in_access_is_left_there(port: int, up: Upstream) -> None:
    assert ask(port, "/yields").status == 200
    assert (up.last.get(b"x-before"), up.last.get(b"x-after")) == (b"1", None)


def test_lua_stays_sound_over_many_requests_at_once(port: int, up: Upstream) -> None:
    def echoed(number: int) -> bool:
        own = b"%d" % number * 1000
        return (
            ask(port, "/many", b"X-Me: " + own[:50], method=b"POST", body=own).body
            == own[:50] + own
        )

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(echoed, range(800)))


def test_the_answer_can_be_changed_in_its_own_phases(port: int) -> None:
    got = ask(port, "/answer")
    assert (got.get(b"x-status"), got.body) == (b"200", b"HI")
