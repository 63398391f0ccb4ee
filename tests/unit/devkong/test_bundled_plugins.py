"""acl, cors, rate-limiting, correlation-id, request-termination and -size-limiting, as in Kong."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.unit.devkong.raw_http import Message, Upstream, ask
from tests.unit.devkong.running import running


def config(port: int, *plugins: Mapping[str, object]) -> str:
    route = {"name": "r", "paths": ["/a"], "plugins": list(plugins)}
    service = {"name": "s", "url": f"http://127.0.0.1:{port}", "routes": [route]}
    return yaml.safe_dump({"_format_version": "3.0", "services": [service]})


def lua(code: str) -> dict[str, object]:
    return {"name": "lua-code", "config": {"access": [code]}}


def acl(**fields: object) -> dict[str, object]:
    return {"name": "acl", "config": fields}


@pytest.mark.parametrize(
    ("auth", "guard", "status"),
    [
        ("", acl(allow=["jan"]), 401),
        ("kong.ctx.shared.authenticated_groups = { 'jan' }", acl(allow=["jan"]), 200),
        ("kong.ctx.shared.authenticated_groups = { 'x', 'jan' }", acl(allow=["jan"]), 200),
        ("kong.ctx.shared.authenticated_groups = { 'x' }", acl(allow=["jan"]), 403),
        ("kong.ctx.shared.authenticated_groups = {}", acl(allow=["jan"]), 403),
        ("kong.ctx.shared.authenticated_groups = 'jan'", acl(allow=["jan"]), 401),
        ("ngx.ctx.authenticated_groups = { 'jan' }", acl(allow=["jan"]), 200),
        ("kong.ctx.shared.authenticated_groups = { 'x' }", acl(deny=["x"]), 403),
        ("kong.ctx.shared.authenticated_groups = { 'y' }", acl(deny=["x"]), 200),
        ("kong.client.authenticate(nil, { id = 'c' })", acl(allow=["jan"]), 403),
        ("kong.client.authenticate({ id = 'u' }, { id = 'c' })", acl(allow=["jan"]), 403),
        ("kong.client.authenticate({ id = 'u' }, { id = 'c' })", acl(deny=["jan"]), 200),
        (
            "kong.client.authenticate({ id = 'u' }, { id = 'c' })\n"
            "kong.ctx.shared.authenticated_groups = { 'jan' }",
            acl(allow=["jan"]),
            403,
        ),
        (
            "kong.client.authenticate({ id = 'u' }, { id = 'c' })\n"
            "kong.ctx.shared.authenticated_groups = { 'jan' }",
            acl(allow=["jan"], always_use_authenticated_groups=True),
            200,
        ),
        (
            "kong.client.authenticate({ id = 'u' })\n"
            "kong.ctx.shared.authenticated_groups = { 'jan' }",
            acl(allow=["jan"]),
            200,
        ),
    ],
)
def test_acl_admits_by_authenticated_groups(
    tmp_path: Path, echo: Upstream, auth: str, guard: dict[str, object], status: int
) -> None:
    with running(tmp_path, config(echo.port, lua(auth or "return"), guard)) as devkong:
        got = ask(devkong.port, "/a")
    assert got.status == status
    assert len(echo.requests) == (status == 200)
    if status == 401:
        assert json.loads(got.body)["message"] == "Unauthorized"
    if status == 403:
        assert json.loads(got.body)["message"] == "You cannot consume this service"


@pytest.mark.parametrize(("hidden", "header"), [(False, b"x, jan"), (True, None)])
def test_acl_tells_the_upstream_the_groups_unless_hidden(
    tmp_path: Path, echo: Upstream, hidden: bool, header: bytes | None
) -> None:
    auth = lua("kong.ctx.shared.authenticated_groups = { 'x', 'jan' }")
    guard = acl(allow=["jan"], hide_groups_header=hidden)
    with running(tmp_path, config(echo.port, auth, guard)) as devkong:
        ask(devkong.port, "/a")
    assert echo.last.get(b"x-authenticated-groups") == header


def preflight(port: int, origin: bytes) -> Message:
    return ask(
        port,
        "/a",
        b"Origin: " + origin,
        b"Access-Control-Request-Method: POST",
        b"Access-Control-Request-Headers: x-one, x-two",
        method=b"OPTIONS",
    )


def test_cors_answers_a_preflight_itself(tmp_path: Path, echo: Upstream) -> None:
    plugin = {"name": "cors", "config": {"max_age": 600}}
    with running(tmp_path, config(echo.port, acl(allow=["x"]), plugin)) as devkong:
        got = preflight(devkong.port, b"http://app.test")
    assert got.status == 200
    assert got.get(b"access-control-allow-origin") == b"*"
    assert got.get(b"access-control-allow-headers") == b"x-one, x-two"
    assert got.get(b"access-control-allow-methods") == (
        b"GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT"
    )
    assert got.get(b"access-control-max-age") == b"600"
    assert got.get(b"content-length") == b"0"


def test_cors_headers_are_on_errors_too(tmp_path: Path, echo: Upstream) -> None:
    plugin = {"name": "cors", "config": {"exposed_headers": ["X-One", "X-Two"]}}
    with running(tmp_path, config(echo.port, acl(allow=["x"]), plugin)) as devkong:
        got = ask(devkong.port, "/a", b"Origin: http://app.test")
    assert got.status == 401
    assert got.get(b"access-control-allow-origin") == b"*"
    assert got.get(b"access-control-expose-headers") == b"X-One,X-Two"


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (["http://a.test"], b"http://b.test", b"http://a.test"),
        (["http://a.test", "http://b.test:80"], b"http://b.test", b"http://b.test"),
        (["http://a.test", "http://b.test"], b"http://c.test", None),
        ([r".*\.a\.test", "http://b.test"], b"https://x.a.test:8443", b"https://x.a.test:8443"),
        ([r"https://.*\.a\.test$"], b"http://x.a.test", None),
    ],
)
def test_cors_names_the_origin_that_is_allowed(
    tmp_path: Path, echo: Upstream, origins: list[str], origin: bytes, allowed: bytes | None
) -> None:
    plugin = {"name": "cors", "config": {"origins": origins, "credentials": True}}
    with running(tmp_path, config(echo.port, plugin)) as devkong:
        got = ask(devkong.port, "/a", b"Origin: " + origin)
    assert got.get(b"access-control-allow-origin") == allowed
    assert got.get(b"access-control-allow-credentials") == b"true"
    assert got.get(b"vary") == b"Origin"


def test_rate_limiting_counts_down_and_then_refuses(tmp_path: Path, echo: Upstream) -> None:
    limit = {"name": "rate-limiting", "config": {"hour": 2, "day": 9, "limit_by": "ip"}}
    text = config(echo.port, limit).replace("name: r\n", f"name: {tmp_path.name}\n")
    with running(tmp_path, text) as devkong:
        first, second, third = (ask(devkong.port, "/a") for _ in range(3))
    assert [first.status, second.status, third.status] == [200, 200, 429]
    assert first.get(b"x-ratelimit-limit-hour") == b"2"
    assert first.get(b"x-ratelimit-remaining-hour") == b"1"
    assert first.get(b"x-ratelimit-remaining-day") == b"8"
    assert (first.get(b"ratelimit-limit"), second.get(b"ratelimit-remaining")) == (b"2", b"0")
    assert json.loads(third.body)["message"] == "API rate limit exceeded"
    assert 1 <= int(third.get(b"retry-after") or 0) <= 3600
    assert third.get(b"retry-after") == third.get(b"ratelimit-reset")
    assert len(echo.requests) == 2


def test_rate_limiting_counts_each_header_value_by_itself(tmp_path: Path, echo: Upstream) -> None:
    limit = {
        "name": "rate-limiting",
        "config": {
            "hour": 1,
            "limit_by": "header",
            "header_name": "x-user",
            "hide_client_headers": True,
        },
    }
    text = config(echo.port, limit).replace("name: r\n", f"name: {tmp_path.name}\n")
    with running(tmp_path, text) as devkong:
        one = ask(devkong.port, "/a", b"X-User: one")
        two = ask(devkong.port, "/a", b"X-User: two")
        again = ask(devkong.port, "/a", b"X-User: one")
    assert [one.status, two.status, again.status] == [200, 200, 429]
    assert again.get(b"retry-after") is None


def test_correlation_id_is_made_once_and_echoed(tmp_path: Path, echo: Upstream) -> None:
    plugin = {
        "name": "correlation-id",
        "config": {"header_name": "X-Req", "generator": "uuid", "echo_downstream": True},
    }
    with running(tmp_path, config(echo.port, plugin)) as devkong:
        made = ask(devkong.port, "/a")
        sent = ask(devkong.port, "/a", b"X-Req: mine")
    assert made.get(b"x-req") == echo.requests[0].get(b"x-req")
    assert len(made.get(b"x-req") or b"") == 36
    assert sent.get(b"x-req") == echo.requests[1].get(b"x-req") == b"mine"


def test_request_termination_answers_in_place_of_the_upstream(
    tmp_path: Path, echo: Upstream
) -> None:
    plugin = {"name": "request-termination", "config": {"status_code": 404}}
    with running(tmp_path, config(echo.port, plugin)) as devkong:
        got = ask(devkong.port, "/a")
    assert (got.status, got.body) == (404, b'{"message":"Not found"}')
    assert echo.requests == []


def test_request_size_limiting_refuses_larger_bodies(tmp_path: Path, echo: Upstream) -> None:
    plugin = {
        "name": "request-size-limiting",
        "config": {"allowed_payload_size": 1, "size_unit": "kilobytes"},
    }
    with running(tmp_path, config(echo.port, plugin)) as devkong:
        assert ask(devkong.port, "/a", method=b"POST", body=b"x" * 1024).status == 200
        got = ask(devkong.port, "/a", method=b"POST", body=b"x" * 1025)
    assert got.status == 413
    assert json.loads(got.body)["message"] == "Request size limit exceeded"


def test_the_most_specific_config_of_a_plugin_counts(tmp_path: Path, echo: Upstream) -> None:
    def terminate(body: str) -> list[dict[str, object]]:
        return [{"name": "request-termination", "config": {"status_code": 200, "body": body}}]

    text = yaml.safe_dump(
        {
            "_format_version": "3.0",
            "plugins": terminate("global"),
            "services": [
                {"name": "plain", "url": "http://a.test", "routes": [{"paths": ["/plain"]}]},
                {
                    "name": "own",
                    "url": "http://a.test",
                    "plugins": terminate("service"),
                    "routes": [
                        {"name": "one", "paths": ["/one"]},
                        {"name": "two", "paths": ["/two"], "plugins": terminate("route")},
                    ],
                },
            ],
        }
    )
    with running(tmp_path, text) as devkong:
        bodies = [ask(devkong.port, path).body for path in ("/plain", "/one", "/two")]
    assert bodies == [b"global", b"service", b"route"]
