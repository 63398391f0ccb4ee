"""External plugins over the real socket: Kong's messages to them, and its calls for them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.raw_http import Upstream, ask, connected
from tests.unit.devkong.running import running
from tests.unit.devkong.scripted_plugin_server import Event, ScriptedPluginServer, scripted

CONFIG = """
_format_version: "3.0"
services:
  - name: up
    url: http://127.0.0.1:{port}
    routes:
      - name: one
        paths: [/one]
        plugins:
          - name: scripted
            config: {{word: first, secret: "{{vault://env/dk-secret}}"}}
      - name: two
        paths: [/two]
        plugins: [{{name: scripted}}]
      - name: guarded
        paths: [/guarded]
        plugins:
          - name: scripted
          - name: acl
            config: {{allow: [jan], always_use_authenticated_groups: true}}
"""


def results(
    folder: Path,
    echo: Upstream,
    calls: list[tuple[str, list[Any]]],
    *headers: bytes,
    target: bytes = b"/one",
    method: bytes = b"GET",
    body: bytes = b"",
) -> list[Any]:
    """Run PDK calls in one event; return what each gave."""
    found: list[Any] = []

    def script(_config: dict[str, Any]) -> Event:
        for call in calls:
            found.append((yield call))

    with scripted(folder) as server:
        server.script = script
        with running(folder, CONFIG.format(port=echo.port), server.environment) as devkong:
            assert ask(devkong.port, target, *headers, method=method, body=body).status == 200
    return found


def test_an_instance_is_started_once_per_config_with_kongs_own_fields_beside_it(
    short_path: Path, echo: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DK_SECRET", "s3cret")
    with (
        scripted(short_path) as server,
        running(short_path, CONFIG.format(port=echo.port), server.environment) as devkong,
    ):
        for path in ("/one", "/one", "/two"):
            ask(devkong.port, path)
    first, second = server.instances.values()
    assert (first["word"], first["secret"]) == ("first", "s3cret")
    assert second["word"] == "hello"
    assert "secret" not in second
    assert {"__key__", "__seq__", "__plugin_id", "route_id"} <= set(first)
    assert first["__plugin_id"] != second["__plugin_id"]
    assert server.methods.count("plugin.HandleEvent") == 3


def test_headers_come_as_maps_of_lists(short_path: Path, echo: Upstream) -> None:
    (headers,) = results(
        short_path,
        echo,
        [("kong.request.get_headers", [1000])],
        b"X-Two: a",
        b"x-two: b",
        b"X-Odd: \xff",
        b"X-Empty:",
    )
    assert headers["x-two"] == ["a", "b"]
    assert headers["x-odd"] == ["\udcff"]
    assert headers["x-empty"] == [""]
    assert headers["host"] == ["gate.test"]


@pytest.mark.parametrize("size", [0, 100, 8192, 200_000])
def test_a_body_comes_as_binary(short_path: Path, echo: Upstream, size: int) -> None:
    body = b"\xff" * size
    got = results(short_path, echo, [("kong.request.get_raw_body", [0])], method=b"POST", body=body)
    assert got == [body]
    assert echo.last.body == body


def test_scalars_and_records_come_as_they_are(short_path: Path, echo: Upstream) -> None:
    method, path, route, missing, unknown = results(
        short_path,
        echo,
        [
            ("kong.request.get_method", []),
            ("kong.request.get_path", []),
            ("kong.router.get_route", []),
            ("kong.request.get_header", ["x-none"]),
            ("kong.nonesuch.call", []),
        ],
        target=b"/one/%61//b",
    )
    assert (method, path, route["name"]) == ("GET", "/one/a/b", "one")
    assert missing is None
    assert unknown is None


def test_a_plugin_sets_headers_body_and_context(short_path: Path, echo: Upstream) -> None:
    edits = [[1, 2, "x"]]
    got = results(
        short_path,
        echo,
        [
            ("kong.service.request.set_headers", [{"X-Set": "new", "X-List": ["a", "b"]}]),
            ("kong.service.request.clear_header", ["x-gone"]),
            ("kong.service.request.set_raw_body", [b"\xffbody"]),
            ("kong.client.authenticate", [{"id": "u"}, {"id": "c"}]),
            ("kong.client.get_consumer", []),
            ("kong.ctx.shared.set", ["edits", edits]),
            ("kong.ctx.shared.get", ["edits"]),
        ],
        b"x_set: old",
        b"x-set: old",
        b"X-Gone: 1",
        method=b"POST",
        body=b"old",
    )
    assert got[4] == {"id": "u"}
    assert got[6] == edits
    assert echo.last.get_all(b"x-set") == [b"new"]
    assert echo.last.get_all(b"x-list") == [b"a", b"b"]
    assert echo.last.get(b"x-gone") is None
    assert echo.last.body == b"\xffbody"
    assert echo.last.get(b"content-length") == b"5"


def test_each_kind_of_result_goes_to_its_own_step_method(short_path: Path, echo: Upstream) -> None:
    def script(_config: dict[str, Any]) -> Event:
        yield "kong.request.get_headers", []
        yield "kong.client.authenticate", [{"id": "u"}]
        yield "kong.router.get_service", []
        yield "kong.request.get_method", []

    with scripted(short_path) as server:
        server.script = script
        with running(short_path, CONFIG.format(port=echo.port), server.environment) as devkong:
            ask(devkong.port, "/one")
    assert server.methods[2:] == [
        "plugin.StepMultiMap",
        "plugin.StepCredential",
        "plugin.StepService",
        "plugin.Step",
    ]


def exit_script(*args: Any) -> Any:
    def script(_config: dict[str, Any]) -> Event:
        yield "kong.response.exit", list(args)
        raise AssertionError("an exit does not return")

    return script


@pytest.mark.parametrize(
    ("args", "status", "body", "content_type"),
    [
        ([401, b"no", {"Content-Type": "text/plain", "X-Y": "z"}], 401, b"no", b"text/plain"),
        ([403], 403, b"", None),
        (
            [400, {"a": ["b/c", 1]}],
            400,
            b'{"a":["b/c",1]}',
            b"application/json; charset=utf-8",
        ),
    ],
)
def test_an_exit_answers_and_ends_the_event(
    short_path: Path,
    echo: Upstream,
    args: list[Any],
    status: int,
    body: bytes,
    content_type: bytes | None,
) -> None:
    with scripted(short_path) as server:
        server.script = exit_script(*args)
        with running(short_path, CONFIG.format(port=echo.port), server.environment) as devkong:
            got = ask(devkong.port, "/one")
    assert (got.status, got.body) == (status, body)
    assert got.get(b"content-type") == content_type
    assert echo.requests == []


def test_calls_share_a_pool_of_connections(short_path: Path, echo: Upstream) -> None:
    def script(_config: dict[str, Any]) -> Event:
        for _ in range(5):
            yield "kong.request.get_method", []

    with scripted(short_path) as server:
        server.script = script
        with running(short_path, CONFIG.format(port=echo.port), server.environment) as devkong:
            for _ in range(3):
                ask(devkong.port, "/one")
    assert server.connections == 1


def test_a_grant_opens_the_guarded_route(short_path: Path, echo: Upstream) -> None:
    def script(_config: dict[str, Any]) -> Event:
        yield "kong.ctx.shared.set", ["authenticated_groups", ["jan"]]

    with scripted(short_path) as server:
        server.script = script
        with running(short_path, CONFIG.format(port=echo.port), server.environment) as devkong:
            assert ask(devkong.port, "/guarded").status == 200
    assert echo.last.get(b"x-authenticated-groups") == b"jan"


def with_lua(port: int, *routes: tuple[str, str]) -> str:
    """Routes whose Lua is given, and whose plugin has acl behind it."""
    plugins = [
        {"name": "scripted"},
        {"name": "acl", "config": {"allow": ["jan"], "always_use_authenticated_groups": True}},
    ]
    listed = [
        {
            "name": name,
            "paths": [f"/{name}"],
            "plugins": [{"name": "lua-code", "config": {"access": [code]}}, *plugins],
        }
        for name, code in routes
    ]
    service = {"name": "up", "url": f"http://127.0.0.1:{port}", "routes": listed}
    return yaml.safe_dump({"_format_version": "3.0", "services": [service]})


def test_lua_in_the_shared_table_answers_to_its_name(short_path: Path, echo: Upstream) -> None:
    found: list[Any] = []

    def script(_config: dict[str, Any]) -> Event:
        found.append((yield "kong.ctx.shared.in.both", [2, [1, "\udcff"], {"a": False}]))
        found.append((yield "kong.ctx.shared.nobody", []))
        yield "kong.ctx.shared.set", ["authenticated_groups", ["jan"]]

    code = """
    local function both(number, list, map)
      local body = kong.request.get_raw_body()
      return { number + list[1], list[2], map.a, body }
    end
    kong.ctx.shared["in"] = { both = both }
    """
    with scripted(short_path) as server:
        server.script = script
        text = with_lua(echo.port, ("one", code))
        with running(short_path, text, server.environment) as devkong:
            assert ask(devkong.port, "/one", method=b"POST", body=b"xy").status == 200
    assert found == [[3, "\udcff", False, "xy"], None]


def test_lua_that_yields_ends_the_plugin_and_nothing_else(short_path: Path, echo: Upstream) -> None:
    def script(_config: dict[str, Any]) -> Event:
        yield "kong.ctx.shared.finish", [["jan"]]
        raise AssertionError("Kong came back")

    code = """
    kong.ctx.shared.finish = function(groups)
      kong.ctx.shared.authenticated_groups = groups
      coroutine.yield()
      kong.response.exit(500)
    end
    """
    with scripted(short_path) as server:
        server.script = script
        text = with_lua(echo.port, ("one", code))
        with running(short_path, text, server.environment) as devkong:
            assert ask(devkong.port, "/one").status == 200
    assert server.methods == ["plugin.StartInstance", "plugin.HandleEvent"]
    assert echo.last.get(b"x-authenticated-groups") == b"jan"


def test_the_first_function_that_is_found_under_a_name_is_kept(
    short_path: Path, echo: Upstream
) -> None:
    found: list[Any] = []

    def script(_config: dict[str, Any]) -> Event:
        found.append((yield "kong.ctx.shared.which", []))

    one, two = (f"kong.ctx.shared.which = function() return {n} end" for n in (1, 2))
    with scripted(short_path) as server:
        server.script = script
        text = with_lua(echo.port, ("one", one), ("two", two), ("none", "return"))
        with running(short_path, text, server.environment) as devkong:
            for path in ("/one", "/two", "/none"):
                assert ask(devkong.port, path).status == 401
    assert found == [1, 1, 1]


def refused(server: ScriptedPluginServer, folder: Path, echo: Upstream) -> tuple[int, Any]:
    with running(folder, CONFIG.format(port=echo.port), server.environment) as devkong:
        got = ask(devkong.port, "/one", method=b"POST", body=b"x" * 20_000)
        return got.status, json.loads(got.body)


@pytest.mark.parametrize(
    "call",
    [
        # the error of `nil, err` is lost, and nil cannot be packed as binary
        ("kong.request.get_raw_body", []),
        ("kong.service.request.set_header", ["x", {"a": 1}]),
        ("kong.response.exit", ["401"]),
        ("kong.client.authenticate", []),
    ],
)
def test_a_call_that_raises_in_kong_is_500(
    short_path: Path, echo: Upstream, call: tuple[str, list[Any]]
) -> None:
    def script(_config: dict[str, Any]) -> Event:
        yield call

    with scripted(short_path) as server:
        server.script = script
        assert refused(server, short_path, echo) == (
            500,
            {"message": "An unexpected error occurred"},
        )
    assert echo.requests == []


def test_a_request_waits_for_its_body_only_when_the_plugin_wants_it(
    short_path: Path, echo: Upstream
) -> None:
    with scripted(short_path) as server:
        server.script = exit_script(401)
        with (
            running(short_path, CONFIG.format(port=echo.port), server.environment) as devkong,
            connected(devkong.port) as client,
        ):
            client.send(b"POST /one HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
            assert client.read().status == 401
            # what is left of the body is read and dropped, and the connection goes on
            client.send(b"cdePOST /one HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            assert client.read().status == 401
