"""acl, cors, rate-limiting and request-termination: each case is a route of one gateway."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.kong.gateway import config, lua, route, running
from tests.support.raw_http import Message, Upstream, ask

GRANT = "kong.ctx.shared.authenticated_groups = { 'x', 'jan' }"
USER = "{ id = '7d1a4a3e-3f0e-4b0c-8a3c-0d2c5f1b9e11' }"
BOTH = f"kong.client.authenticate({USER}, {{ id = 'c' }})"


def acl(**fields: object) -> dict[str, object]:
    return {"name": "acl", "config": fields}


def cors(**fields: object) -> dict[str, object]:
    return {"name": "cors", "config": fields}


def limit(**fields: object) -> dict[str, object]:
    return {"name": "rate-limiting", "config": {"policy": "local", **fields}}


def terminate(**fields: object) -> dict[str, object]:
    return {"name": "request-termination", "config": fields}


ACL = [
    ("return", acl(allow=["jan"]), 401),
    ("kong.ctx.shared.authenticated_groups = { 'jan' }", acl(allow=["jan"]), 200),
    (GRANT, acl(allow=["jan"]), 200),
    ("kong.ctx.shared.authenticated_groups = { 'x' }", acl(allow=["jan"]), 403),
    ("kong.ctx.shared.authenticated_groups = {}", acl(allow=["jan"]), 403),
    ("kong.ctx.shared.authenticated_groups = 'jan'", acl(allow=["jan"]), 401),
    ("ngx.ctx.authenticated_groups = { 'jan' }", acl(allow=["jan"]), 200),
    ("kong.ctx.shared.authenticated_groups = { 'x' }", acl(deny=["x"]), 403),
    ("kong.ctx.shared.authenticated_groups = { 'y' }", acl(deny=["x"]), 200),
    ("kong.client.authenticate(nil, { id = 'c' })", acl(allow=["jan"]), 403),
    (BOTH, acl(allow=["jan"]), 403),
    (BOTH, acl(deny=["jan"]), 200),
    (f"{BOTH} {GRANT}", acl(allow=["jan"]), 403),
    (f"{BOTH} {GRANT}", acl(allow=["jan"], always_use_authenticated_groups=True), 200),
    (f"kong.client.authenticate({USER}) {GRANT}", acl(allow=["jan"]), 200),
]
CORS = [
    (["http://a.test"], b"http://b.test", b"http://a.test"),
    (["http://a.test", "http://b.test"], b"http://b.test", b"http://b.test"),
    (["http://a.test", "http://b.test"], b"http://c.test", None),
]


@pytest.fixture(scope="module")
def port(folder: Path, served: Upstream) -> Iterator[int]:
    """A gateway with a route for each case."""
    routes: list[Mapping[str, Any]] = [
        *(route(f"acl-{at}-", lua(auth), guard) for at, (auth, guard, _) in enumerate(ACL)),
        route("told", lua(GRANT), acl(allow=["jan"])),
        route("hidden", lua(GRANT), acl(allow=["jan"], hide_groups_header=True)),
        route("preflight", acl(allow=["x"]), cors(max_age=600, exposed_headers=["X-1", "X-2"])),
        *(
            route(f"cors-{at}-", cors(origins=origins, credentials=True))
            for at, (origins, _, _) in enumerate(CORS)
        ),
        route("limited", limit(hour=2, day=5000, limit_by="ip")),
        route("quiet", limit(hour=1, limit_by="ip", hide_client_headers=True)),
        route(
            "by-credential",
            lua(BOTH.replace("'c'", "kong.request.get_header('x-who')")),
            limit(hour=1, limit_by="credential"),
        ),
        route("ended", terminate(status_code=404)),
        route("plain"),
    ]
    document = config(served.port, *routes)
    own = [route("service"), route("route", terminate(status_code=200, body="route"))]
    service = {"name": "own", "url": "http://a.test", "routes": own}
    document["services"].append(
        {**service, "plugins": [terminate(status_code=200, body="service")]}
    )
    with running(folder, document) as port:
        yield port


@pytest.mark.parametrize(("at", "status"), [(at, case[2]) for at, case in enumerate(ACL)])
def test_acl_admits_by_authenticated_groups(port: int, up: Upstream, at: int, status: int) -> None:
    got = ask(port, f"/acl-{at}-")
    assert got.status == status
    assert len(up.requests) == (status == 200)
    if status == 401:
        assert json.loads(got.body)["message"] == "Unauthorized"
    if status == 403:
        assert json.loads(got.body)["message"] == "You cannot consume this service"


@pytest.mark.parametrize(("path", "header"), [("/told", b"x, jan"), ("/hidden", None)])
def test_acl_tells_the_upstream_the_groups_unless_hidden(
    port: int, up: Upstream, path: str, header: bytes | None
) -> None:
    ask(port, path)
    assert up.last.get(b"x-authenticated-groups") == header


def preflight(port: int, path: str, origin: bytes) -> Message:
    return ask(
        port,
        path,
        b"Origin: " + origin,
        b"Access-Control-Request-Method: POST",
        b"Access-Control-Request-Headers: x-one, x-two",
        method=b"OPTIONS",
    )


def test_cors_answers_a_preflight_itself(port: int) -> None:
    got = preflight(port, "/preflight", b"http://app.test")
    assert got.status == 200
    assert got.get(b"access-control-allow-origin") == b"*"
    assert got.get(b"access-control-allow-headers") == b"x-one, x-two"
    assert got.get(b"access-control-allow-methods") == (
        b"GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT"
    )
    assert got.get(b"access-control-max-age") == b"600"
    assert got.get(b"content-length") == b"0"


def test_cors_headers_are_on_errors_too(port: int) -> None:
    got = ask(port, "/preflight", b"Origin: http://app.test")
    assert got.status == 401
    assert got.get(b"access-control-allow-origin") == b"*"
    assert got.get(b"access-control-expose-headers") == b"X-1,X-2"


@pytest.mark.parametrize(("at", "case"), list(enumerate(CORS)))
def test_cors_names_the_origin_that_is_allowed(
    port: int, up: Upstream, at: int, case: tuple[list[str], bytes, bytes | None]
) -> None:
    got = ask(port, f"/cors-{at}-", b"Origin: " + case[1])
    assert got.get(b"access-control-allow-origin") == case[2]
    assert got.get(b"vary") == b"Origin"
    assert got.get(b"access-control-allow-credentials") == b"true"


def test_rate_limiting_counts_down_and_then_refuses(port: int, up: Upstream) -> None:
    """Kong counts a request a moment after it has let it pass, so a few more than two may pass."""
    first = last = ask(port, "/limited")
    passed = 0
    while last.status == 200 and passed < 1000:
        passed += 1
        last = ask(port, "/limited")
    assert (last.status, len(up.requests)) == (429, passed)
    assert passed >= 2
    assert first.get(b"x-ratelimit-limit-hour") == b"2"
    assert first.get(b"x-ratelimit-remaining-hour") == b"1"
    assert first.get(b"x-ratelimit-remaining-day") == b"4999"
    assert first.get(b"ratelimit-limit") == b"2"
    assert last.get(b"ratelimit-remaining") == b"0"
    assert json.loads(last.body)["message"] == "API rate limit exceeded"
    assert 1 <= int(last.get(b"retry-after") or 0) <= 3600
    assert last.get(b"retry-after") == last.get(b"ratelimit-reset")


def test_rate_limiting_says_nothing_of_the_limits_where_it_is_told_so(port: int) -> None:
    one, again = ask(port, "/quiet"), ask(port, "/quiet")
    assert [one.status, again.status] == [200, 429]
    assert one.get(b"ratelimit-limit") is again.get(b"retry-after") is None


def test_rate_limiting_counts_each_credential_by_itself(port: int) -> None:
    callers = [b"X-Who: one", b"X-Who: two", b"X-Who: one"]
    assert [ask(port, "/by-credential", who).status for who in callers] == [200, 200, 429]


def test_request_termination_answers_in_place_of_the_upstream(port: int, up: Upstream) -> None:
    got = ask(port, "/ended")
    assert (got.status, json.loads(got.body)) == (404, {"message": "Not found"})
    assert up.requests == []


def test_the_most_specific_config_of_a_plugin_counts(port: int) -> None:
    bodies = [ask(port, path).body for path in ("/service", "/route")]
    assert bodies == [b"service", b"route"]
