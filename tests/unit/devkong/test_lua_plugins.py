"""Ordinary Lua plugins: a real LuaJIT with Kong's kit, byte for byte."""

import json
from pathlib import Path

import pytest
import yaml

from tests.unit.devkong.raw_http import Message, Upstream, ask
from tests.unit.devkong.running import running


def config(port: int, **phases: str) -> str:
    plugin = {"name": "lua-code", "config": {phase: [c] for phase, c in phases.items()}}
    route = {"name": "r", "paths": ["/a"], "plugins": [plugin]}
    service = {"name": "s", "url": f"http://127.0.0.1:{port}", "routes": [route]}
    return yaml.safe_dump({"_format_version": "3.0", "services": [service]})


def run(
    folder: Path,
    echo: Upstream,
    code: str,
    *headers: bytes,
    target: bytes = b"/a",
    body: bytes = b"",
    **phases: str,
) -> Message:
    with running(folder, config(echo.port, access=code, **phases)) as devkong:
        return ask(devkong.port, target, *headers, method=b"POST" if body else b"GET", body=body)


def test_lua_reads_and_sets_any_bytes(tmp_path: Path, echo: Upstream) -> None:
    run(
        tmp_path,
        echo,
        """
        local sent = kong.request.get_header("x-in")
        kong.service.request.set_header("x-out", sent:reverse() .. #sent)
        kong.service.request.set_headers({ ["x-many"] = { "a", "b" }, ["x-number"] = 3 })
        kong.service.request.clear_header("x-in")
        kong.service.request.set_raw_query(kong.request.get_raw_query() .. "&z")
        kong.service.request.set_path("/other way")
        """,
        b"X-In: \xff\x80",
        target=b"/a?q=%fe",
    )
    assert echo.last.start == b"GET /other%20way?q=%fe&z HTTP/1.1"
    assert echo.last.get(b"x-out") == b"\x80\xff2"
    assert echo.last.get_all(b"x-many") == [b"a", b"b"]
    assert echo.last.get(b"x-number") == b"3"
    assert echo.last.get(b"x-in") is None


@pytest.mark.parametrize("size", [10, 9_000, 3_000_000])
def test_lua_splices_a_body_of_any_size(tmp_path: Path, echo: Upstream, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"MARK" + b"\x00\xff"
    run(
        tmp_path,
        echo,
        """
        local body = kong.request.get_raw_body(0)
        local first, last = body:find("MARK", 1, true)
        kong.ctx.shared.edits = { { first, last, "\\255new" } }
        for _, edit in ipairs(kong.ctx.shared.edits) do
          body = body:sub(1, edit[1] - 1) .. edit[3] .. body:sub(edit[2] + 1)
        end
        kong.service.request.set_raw_body(body)
        """,
        body=body,
    )
    assert echo.last.body == body.replace(b"MARK", b"\xffnew")


def test_a_body_that_is_not_in_memory_is_a_failure_without_a_limit(
    tmp_path: Path, echo: Upstream
) -> None:
    run(
        tmp_path,
        echo,
        """
        local body, err = kong.request.get_raw_body()
        local over, why = kong.request.get_raw_body(10000)
        kong.service.request.set_headers({ ["x-body"] = tostring(body), ["x-err"] = err,
                                           ["x-why"] = why, ["x-over"] = tostring(over) })
        """,
        body=b"x" * 20000,
    )
    assert echo.last.get(b"x-body") == b"nil"
    assert (echo.last.get(b"x-err") or b"").startswith(b"request body did not fit")
    assert echo.last.get(b"x-why") == b"request body file too big: 20000 > 10000"


def test_a_table_in_ctx_shared_is_one_table_for_all(tmp_path: Path, echo: Upstream) -> None:
    run(
        tmp_path,
        echo,
        """
        kong.ctx.shared.t = {}
        kong.ctx.shared.t.inner = "kept"
        kong.service.request.set_header("x-inner", kong.ctx.shared.t.inner)
        """,
    )
    assert echo.last.get(b"x-inner") == b"kept"


def test_exit_ends_the_request_at_once(tmp_path: Path, echo: Upstream) -> None:
    code = 'kong.response.exit(418, { a = "b/c" }, { ["X-Y"] = "z" }) error("not reached")'
    got = run(tmp_path, echo, code)
    assert (got.status, got.body) == (418, b'{"a":"b\\/c"}')
    assert got.get(b"content-type") == b"application/json; charset=utf-8"
    assert got.get(b"x-y") == b"z"
    assert echo.requests == []


def test_a_scheme_that_nginx_does_not_know_leads_nowhere(tmp_path: Path, echo: Upstream) -> None:
    code = 'ngx.var.upstream_scheme = "closed-" .. ngx.var.upstream_scheme'
    got = run(tmp_path, echo, code)
    assert got.status == 500
    assert b"An unexpected error occurred" in got.body
    assert echo.requests == []
    reopened = 'ngx.var.upstream_scheme = ngx.var.upstream_scheme:gsub("^closed%-", "")'
    assert run(tmp_path, echo, f"{code} {reopened}").status == 200


@pytest.mark.parametrize(
    "code",
    [
        'error("boom")',
        'ngx.var.request_uri = "/b"',
        "local x = nil; x.y = 1",
        'require("socket")',
        "kong.nonesuch.call()",
        'kong.service.request.set_header("x", {{}})',
    ],
)
def test_a_lua_error_is_500(tmp_path: Path, echo: Upstream, code: str) -> None:
    got = run(tmp_path, echo, code)
    assert got.status == 500
    assert json.loads(got.body) == {"message": "An unexpected error occurred"}
    assert echo.requests == []


def test_a_chunk_may_return_the_function_to_run(tmp_path: Path, echo: Upstream) -> None:
    code = """
    local count = 0
    return function()
      count = count + 1
      kong.service.request.set_header("x-count", count)
    end
    """
    with running(tmp_path, config(echo.port, access=code)) as devkong:
        ask(devkong.port, "/a")
        ask(devkong.port, "/a")
    assert [r.get(b"x-count") for r in echo.requests] == [b"1", b"2"]


def test_the_answer_can_be_changed_in_its_own_phases(tmp_path: Path, echo: Upstream) -> None:
    got = run(
        tmp_path,
        echo,
        "ngx.ctx.start = ngx.now()",
        header_filter='ngx.header["X-Status"] = kong.response.get_status()',
        body_filter="if ngx.arg[1] then ngx.arg[1] = ngx.arg[1]:upper() end",
    )
    assert got.get(b"x-status") == b"200"
    assert got.body == b"HI"


def test_a_query_becomes_a_table(tmp_path: Path, echo: Upstream) -> None:
    code = """
    local q = kong.request.get_query()
    kong.service.request.set_header("x-q", q.a[1] .. q.a[2] .. tostring(q.b) .. q.c)
    """
    run(tmp_path, echo, code, target=b"/a?a=1&a=%32&b&c=")
    assert echo.last.get(b"x-q") == b"12true"


def test_the_kit_works_inside_pcall_and_coroutines(tmp_path: Path, echo: Upstream) -> None:
    code = """
    local ok, err = pcall(kong.service.request.set_header, "x", {{}})
    local words = coroutine.wrap(function()
      for _, name in ipairs({ "x-a", "x-b" }) do
        coroutine.yield(kong.request.get_header(name) .. kong.request.get_raw_body())
      end
    end)
    kong.service.request.set_header("x-words", words() .. words() .. tostring(ok))
    """
    run(tmp_path, echo, code, b"X-A: 1", b"X-B: 2", body=b"z")
    assert echo.last.get(b"x-words") == b"1z2zfalse"


def test_a_function_that_yields_in_access_is_left_there(tmp_path: Path, echo: Upstream) -> None:
    code = """
    kong.service.request.set_header("x-before", "1")
    coroutine.yield()
    kong.service.request.set_header("x-after", "1")
    """
    assert run(tmp_path, echo, code).status == 200
    assert (echo.last.get(b"x-before"), echo.last.get(b"x-after")) == (b"1", None)


def test_a_function_that_yields_for_all_routes_before_them_goes_on(
    tmp_path: Path, echo: Upstream
) -> None:
    code = 'coroutine.yield() ngx.ctx.went_on = "yes"'
    read = 'kong.service.request.set_header("x-went-on", ngx.ctx.went_on)'
    document = yaml.safe_load(config(echo.port, access=read))
    document["plugins"] = [{"name": "lua-code", "config": {"rewrite": [code]}}]
    with running(tmp_path, yaml.safe_dump(document)) as devkong:
        assert ask(devkong.port, "/a").status == 200
    assert echo.last.get(b"x-went-on") == b"yes"


def test_lua_stays_sound_over_many_requests(tmp_path: Path, echo: Upstream) -> None:
    code = """
    kong.ctx.shared.t = { { 1, "x" } }
    local parts = {}
    for i = 1, 200 do
      parts[i] = { i, kong.request.get_headers() }
    end
    kong.service.request.set_header("x-n", #parts + kong.ctx.shared.t[1][1])
    """
    with running(tmp_path, config(echo.port, access=code)) as devkong:
        for _ in range(100):
            assert ask(devkong.port, "/a").status == 200
    assert {r.get(b"x-n") for r in echo.requests} == {b"201"}


def test_tables_of_headers_answer_to_any_spelling(tmp_path: Path, echo: Upstream) -> None:
    code = """
    local h = kong.request.get_headers()
    kong.service.request.set_header("x-seen", h["X-In"] .. h.x_in .. tostring(h["x-none"]))
    """
    run(tmp_path, echo, code, b"x-in: 1")
    assert echo.last.get(b"x-seen") == b"11nil"


def test_the_log_phase_runs_after_the_answer(
    tmp_path: Path, echo: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    got = run(
        tmp_path, echo, "return", log='kong.log.warn("ended with ", kong.response.get_status())'
    )
    assert got.status == 200
    assert "ended with 200" in caplog.text
