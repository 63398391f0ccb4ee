"""A plugin server that is killed again and again never gives a route the settings of another.

Five routes lead to one model, each with its own settings, under constant load. Kong keeps the ids
of plugin instances over a restart. If an id then meant another route's instance, a route could
admit callers whom only another route admits, or name the caller or send the gateway's secret as
another route does.
"""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import httpx
import pytest

from demo.stack import Stack
from tests.e2e import kong_yml
from tests.e2e.conftest import client_for, guest_token, start_stack
from tests.e2e.counting_upstream import CountingUpstream, Received
from tests.e2e.processes import plugin_servers

KILLS = 6
ROUTES = ("v1", "open", "looked-at", "optional", "other")
USER_HEADERS = {"v1": "X-Jan-User-Id", "optional": "X-Optional-User", "other": "X-Other-User"}
REFUSED = {401, 503}


@pytest.fixture(scope="module")
def model() -> Iterator[CountingUpstream]:
    """Counts what reaches it."""
    with CountingUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, model: CountingUpstream) -> Iterator[Stack]:
    """kong.yml and more: two for all, one for callers with and without a token, one for others."""
    document = kong_yml.written()
    unguarded = kong_yml.add_llm_route(document, "open", {"auth": "off", "resolve": False})
    looked_at = kong_yml.add_llm_route(document, "looked-at", {"auth": "off"})
    for route in (unguarded, looked_at):
        route["plugins"] = [each for each in route["plugins"] if each["name"] != "acl"]
    named = {"user_header": USER_HEADERS["optional"]}
    kong_yml.add_llm_route(document, "optional", {"auth": "optional", **named})
    named = {"user_header": USER_HEADERS["other"]}
    other = kong_yml.add_llm_route(document, "other", {"grant_group": "jan-others", **named})
    kong_yml.plugin(other, "acl")["allow"] = ["jan-others"]
    folder = tmp_path_factory.mktemp("restarts")
    stack = start_stack(folder)
    stack.kong_yml = folder / "five-routes.yml"
    stack.kong_yml.write_text(kong_yml.text(document), "utf-8")
    stack.llm_upstream = model.base_url
    with stack:
        yield stack


@dataclass
class Load:
    """Clients with a token and without, that ask every route in turn until they are told to end."""

    stack: Stack
    token: str
    answers: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """How often a route answered a caller with a status."""
    ended: threading.Event = field(default_factory=threading.Event)

    def ask(self, caller: str, numbers: Iterator[int]) -> None:
        """Be one client."""
        while not self.ended.is_set():
            token = self.token if caller == "guest" else None
            with client_for(self.stack.base_url, token) as client:
                while not self.ended.is_set():
                    for route in ROUTES:
                        body = {"route": route, "caller": caller, "number": next(numbers)}
                        path = f"/{route}/chat/completions"
                        try:
                            answer = client.post(path, json=body, headers={"X-Jan-Roles": "root"})
                        except httpx.TransportError:
                            break
                        self.answers[route, caller, answer.status_code] += 1
                    media = client.get("/media/v1/media").status_code
                    self.answers["media", caller, media] += 1


def kill_plugin_servers(stack: Stack) -> None:
    """Kills what runs of them, without a word."""
    for pid in plugin_servers(stack.gateway.pid):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def load(stack: Stack) -> Load:
    """What came of all requests while the plugin server was killed again and again."""
    load = Load(stack, guest_token(stack.base_url))
    numbers = count()
    threads = [
        threading.Thread(target=load.ask, args=(caller, numbers))
        for caller in ("guest", "nobody") * 3
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in range(KILLS):
            admitted = ("v1", "guest"), ("other", "guest"), ("optional", "nobody")
            before = {each: load.answers[*each, 200] for each in admitted}
            give_up = time.monotonic() + 60
            while not all(load.answers[*each, 200] > before[each] + 3 for each in admitted):
                assert time.monotonic() < give_up, load.answers
                time.sleep(0.01)
            kill_plugin_servers(stack)
    finally:
        load.ended.set()
        for thread in threads:
            thread.join()
    return load


def asked(load: Load, model: CountingUpstream, route: str, caller: str) -> list[Received]:
    """What reached the model of one caller's requests to one route."""
    assert load.answers  # the load is over
    found = []
    for each in model.received:
        body = json.loads(each.body)
        if (body["route"], body["caller"]) == (route, caller):
            found.append(each)
    return found


@pytest.mark.parametrize("route", ["v1", "other", "media"])
def test_without_a_token_no_protected_route_is_ever_open(
    load: Load, model: CountingUpstream, route: str
) -> None:
    statuses = {status for at, who, status in load.answers if (at, who) == (route, "nobody")}
    assert 401 in statuses
    assert statuses <= REFUSED
    assert asked(load, model, route, "nobody") == []


@pytest.mark.parametrize("route", ["v1", "other", "optional"])
def test_each_route_names_the_caller_as_it_is_set(
    load: Load, model: CountingUpstream, route: str
) -> None:
    arrived = asked(load, model, route, "guest")
    assert len(arrived) >= KILLS
    for each in arrived:
        named = {key for key, header in USER_HEADERS.items() if each.header(header)}
        assert named == {route}
        assert each.header("Authorization") == []


def test_routes_refuse_holders_of_a_token_or_admit_them_and_nothing_else(load: Load) -> None:
    statuses = {status for at, who, status in load.answers if who == "guest" and at != "open"}
    assert 200 in statuses
    assert statuses <= {200} | REFUSED


def test_the_route_for_all_names_nobody(load: Load, model: CountingUpstream) -> None:
    arrived = asked(load, model, "open", "guest") + asked(load, model, "open", "nobody")
    assert len(arrived) >= KILLS
    for each in arrived:
        assert not any(each.header(header) for header in USER_HEADERS.values())


def test_a_route_for_all_sends_on_nothing_that_was_not_looked_at(
    load: Load, model: CountingUpstream
) -> None:
    arrived = asked(load, model, "looked-at", "guest") + asked(load, model, "looked-at", "nobody")
    assert len(arrived) >= KILLS
    for each in arrived:
        assert each.header("X-Jan-Roles") == each.header("Authorization") == []
    statuses = {status for route, _, status in load.answers if route == "looked-at"}
    assert statuses <= {200} | REFUSED


def test_no_route_shows_the_model_the_gateways_secret(
    stack: Stack, load: Load, model: CountingUpstream
) -> None:
    secret = stack.gateway.environment["JAN_GATEWAY_SECRET"]
    assert load.answers["media", "guest", 200] > 0
    assert len(model.received) > KILLS
    for each in model.received:
        assert all(secret not in value for _, value in each.headers)
