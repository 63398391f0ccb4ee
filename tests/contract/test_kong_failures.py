"""Failures of Kong and of a plugin: the plugin server answers every request.

They speak Kong's protocol to the real process over the real socket (tests/support/kong_driver).
``unplugged`` means that Kong proxies the request as if there were no plugin. If the plugin cannot
prevent that (its server is dead or stopped), it must not have granted anything: the groups that
Kong's acl plugin requires are not set.
"""

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.kong_driver import (
    Binary,
    KongDriver,
    PdkError,
    PluginServerProcess,
    ScriptedRequest,
)
from tests.support.odd_plugin import SECRET
from tests.support.odd_servers import (
    ACCESS,
    assert_refused,
    begin,
    connected,
    driver,
    in_background,
    message,
    odd_server,
    run,
    until,
)

Serve = Callable[..., PluginServerProcess]
GROUPS = "authenticated_groups"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers of the odd plugin, with more flags as given."""
    with ExitStack() as stack:
        yield lambda *flags: stack.enter_context(odd_server(tmp_path, *flags))


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PluginServerProcess]:
    """One server for every test that leaves it as it was, which is what they test."""
    with odd_server(tmp_path_factory.mktemp("odd")) as server:
        yield server
        assert server.process.poll() is None, "the server ended under the tests"
        assert SECRET not in server.log


@pytest.fixture
def kong(lasting: PluginServerProcess) -> Iterator[KongDriver]:
    with driver(lasting) as kong:
        yield kong


# -- a request that goes well ----------------------------------------------------------------------


def test_an_event_goes_over_several_connections_to_its_end(kong: KongDriver) -> None:
    request = ScriptedRequest()
    assert run(kong, "five_calls", request).kind == "passed"
    assert request.calls == [
        "kong.request.get_headers",
        "kong.request.get_raw_body",
        "kong.client.authenticate",
        "kong.service.request.set_headers",
        "kong.ctx.shared.set",
    ]
    assert request.shared == {GROUPS: ["jan-users"]}


def test_a_handler_that_calls_nothing_lets_the_request_pass(kong: KongDriver) -> None:
    assert run(kong, "pass").kind == "passed"


def test_exit_ends_the_event_and_unwinds_the_handler(kong: KongDriver) -> None:
    outcome = run(kong, "exit")
    assert (outcome.kind, outcome.status, outcome.json) == ("exited", 418, {"teapot": True})
    request = ScriptedRequest()
    run(kong, "shared_state", request)
    state = request.shared["state"]
    assert state["unwound"] == 1
    assert "survived" not in state


def test_after_exit_a_handler_can_call_nothing_more(kong: KongDriver) -> None:
    request = ScriptedRequest()
    assert run(kong, "exit_then_call", request).status == 418
    assert request.calls == ["kong.response.exit"]


def test_a_pdk_error_is_raised_in_the_handler(kong: KongDriver) -> None:
    def too_large(_largest: int) -> Binary:
        raise PdkError("request body file too big")

    request = ScriptedRequest(pdk={"kong.request.get_raw_body": too_large})
    outcome = run(kong, "catch_pdk_error", request)
    assert outcome.body == (
        b"PDKException: exception from kong.request.get_raw_body: request body file too big"
    )


def test_a_pdk_error_that_the_handler_lets_out_refuses_the_request(kong: KongDriver) -> None:
    def too_large(_largest: int) -> Binary:
        raise PdkError("request body file too big")

    request = ScriptedRequest(pdk={"kong.request.get_raw_body": too_large})
    assert_refused(run(kong, "pdk_error", request), 500, "internal_error")


# -- the handler raises ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "do",
    [
        "raise_first",
        "raise_between",
        "raise_last",
        "raise_after_wait",
        "wait_fails",
        "leave",
        "recurse",
        "unpackable",
    ],
)
def test_a_handler_that_fails_refuses_the_request(kong: KongDriver, do: str) -> None:
    assert_refused(run(kong, do), 500, "internal_error")


def test_after_failures_other_requests_are_unaffected(kong: KongDriver) -> None:
    for _ in range(20):
        for do in ("raise_first", "raise_between", "raise_last", "unpackable"):
            assert run(kong, do).kind == "exited"
        request = ScriptedRequest()
        assert run(kong, "five_calls", request).kind == "passed"
        assert request.shared == {GROUPS: ["jan-users"]}


def test_the_log_says_where_a_handler_failed_but_not_with_what(serve: Serve) -> None:
    server = serve()
    with driver(server) as kong:
        run(kong, "raise_between")
    until(lambda: "ValueError at support.odd_plugin:" in server.log, "the failure is logged")
    assert "/" not in server.log
    assert SECRET not in server.log


def test_an_instance_that_cannot_start_refuses_every_request(serve: Serve) -> None:
    server = serve()
    with driver(server) as kong:
        for do in ("misconfigured", "misconfigured", "not_start"):
            outcome = run(kong, do, token=SECRET)
            assert_refused(outcome, 500, "gateway_misconfigured")
        assert run(kong, "pass").kind == "passed"
    until(lambda: "ValueError at support.odd_plugin:" in server.log, "the failure is logged")
    assert server.log.count("field token cannot be like that") == 1
    assert SECRET not in server.log


# -- bytes that are not UTF-8 ----------------------------------------------------------------------


def test_any_bytes_in_headers_query_and_body_come_in_and_go_out_as_they_are(
    kong: KongDriver,
) -> None:
    odd = bytes(range(1, 256))
    request = ScriptedRequest(headers={"x": odd}, query={b"q\xff": b"\xff"}, body=odd)
    assert run(kong, "echo", request).kind == "passed"
    seen = request.headers_set
    assert [value.encode("utf-8", "surrogateescape") for value in seen["headers"]["x"]] == [odd]
    assert seen["query"] == {"q\udcff": ["\udcff"]}
    assert seen["body"] == odd


def test_an_empty_header_is_an_empty_list(kong: KongDriver) -> None:
    request = ScriptedRequest(headers={"x-empty": ""})
    run(kong, "echo", request)
    assert request.headers_set["headers"] == {"x-empty": []}


# -- large answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1 << 20, 10 << 20], ids=["1 MiB", "10 MiB"])
def test_a_large_answer_arrives_whole(kong: KongDriver, size: int) -> None:
    request = ScriptedRequest()
    assert run(kong, "large", request, size=size).kind == "passed"
    assert request.body_set == b"\xff" + b"x" * (size - 2) + b"\x00"


@pytest.mark.parametrize("size", [1 << 20, 10 << 20], ids=["1 MiB", "10 MiB"])
def test_a_large_body_goes_there_and_back_byte_for_byte(kong: KongDriver, size: int) -> None:
    body = os.urandom(size)
    request = ScriptedRequest(body=body)
    assert run(kong, "back", request).kind == "passed"
    assert request.body_set == body


def test_who_reads_a_large_answer_slowly_holds_nobody_up(
    lasting: PluginServerProcess, kong: KongDriver
) -> None:
    instance = kong.start_instance({"do": "large", "size": 10 << 20})
    with connected(lasting) as slow:
        slow.sendall(message(1, "plugin.HandleEvent", {"InstanceId": instance, **ACCESS}))
        assert run(kong, "five_calls").kind == "passed"
        received = 0
        while received < 10 << 20:
            received += len(slow.recv(1 << 16))
        assert run(kong, "five_calls").kind == "passed"


# -- the server dies and comes back ----------------------------------------------------------------


def test_killed_in_the_middle_of_a_request_it_has_granted_nothing(serve: Serve) -> None:
    server = serve()

    def headers(_most: int) -> dict[str, Any]:
        server.kill()
        return {}

    request = ScriptedRequest(pdk={"kong.request.get_headers": headers})
    with driver(server) as kong:
        assert run(kong, "five_calls", request).kind == "unplugged"
    assert GROUPS not in request.shared


def test_a_request_that_outlives_the_server_is_refused_by_the_next(serve: Serve) -> None:
    server = serve()

    def headers(_most: int) -> dict[str, Any]:
        server.kill()
        serve()
        return {}

    request = ScriptedRequest(pdk={"kong.request.get_headers": headers})
    with driver(server) as kong:
        assert_refused(run(kong, "five_calls", request), 503, "service_unavailable")
    assert GROUPS not in request.shared


def test_after_a_restart_no_route_runs_with_the_configuration_of_another(serve: Serve) -> None:
    first = serve()
    with driver(first) as kong:

        def name(wanted: str) -> Any:
            request = ScriptedRequest()
            assert run(kong, "name", request, name=wanted).kind == "passed"
            return request.shared["name"]

        assert [name("a"), name("b")] == ["a", "b"]
        old = set(kong.instances.values())
        first.kill()
        serve()
        assert [name("b"), name("a")] == ["b", "a"]
        assert not old & set(kong.instances.values())


def test_a_new_server_takes_the_place_of_one_that_still_runs_and_keeps_it(serve: Serve) -> None:
    old = serve()
    new = serve()
    assert old.stop() == 0
    with driver(new) as kong:
        assert run(kong, "pass").kind == "passed"
    assert new.stop() == 0
    assert not new.path.exists()


def test_sigterm_lets_events_in_flight_end(serve: Serve) -> None:
    server = serve()
    request = ScriptedRequest()
    with driver(server) as kong:
        outcome = in_background(lambda: run(kong, "sleep", request, seconds=1))
        until(lambda: "begun" in request.shared, "the event has begun")
        assert server.stop() == 0
        assert outcome().kind == "passed"
    assert request.shared == {"begun": True, "slept": True}


def test_sigterm_refuses_what_does_not_end(serve: Serve) -> None:
    server = serve("--time-limit", "50")
    request = ScriptedRequest()
    with driver(server) as kong:
        outcome = in_background(lambda: run(kong, "sleep", request, seconds=40))
        until(lambda: "begun" in request.shared, "the event has begun")
        assert server.stop() == 0
        assert_refused(outcome(), 503, "service_unavailable")


# -- slow, stuck, stopped --------------------------------------------------------------------------


@pytest.mark.parametrize("do", ["sleep", "spin", "block"])
def test_a_handler_that_takes_too_long_is_ended(serve: Serve, do: str) -> None:
    with driver(serve("--time-limit", "0.5")) as kong:
        assert_refused(run(kong, do, seconds=3600), 503, "service_unavailable")
        assert run(kong, "five_calls").kind == "passed"


def test_the_time_that_kong_takes_does_not_count(serve: Serve) -> None:
    def slowly(_largest: int) -> Binary:
        time.sleep(1)  # a client that sends its body slowly
        return Binary(b"body")

    request = ScriptedRequest(pdk={"kong.request.get_raw_body": slowly})
    with driver(serve("--time-limit", "0.5")) as kong:
        assert run(kong, "five_calls", request).kind == "passed"


def test_while_one_handler_waits_others_run(serve: Serve) -> None:
    server = serve("--time-limit", "50")
    with driver(server) as kong, waiting_event(server, kong) as waiting:
        for _ in range(100):
            assert run(kong, "five_calls").kind == "passed"
        assert select.select([waiting], [], [], 0)[0] == [], "it still waits"


def test_beyond_the_events_that_it_takes_on_it_refuses(serve: Serve) -> None:
    server = serve("--max-events", "2", "--time-limit", "50")
    with driver(server) as kong:
        begun = begin(kong, "raise_between")
        with waiting_event(server, kong):
            assert_refused(run(kong, "five_calls"), 503, "service_unavailable")
            kong.call("plugin.Step", {"EventId": begun})
            until(lambda: run(kong, "five_calls").kind == "passed", "the place is free")


@contextmanager
def waiting_event(server: PluginServerProcess, kong: KongDriver) -> Iterator[socket.socket]:
    """An event whose handler waits, and the connection that its answer is owed on."""
    begun = begin(kong, "sleep", seconds=3600)
    with connected(server) as connection:
        connection.sendall(message(1, "plugin.Step", {"EventId": begun}))
        yield connection


def test_an_event_that_kong_has_abandoned_is_dropped_and_never_passes(serve: Serve) -> None:
    server = serve("--abandoned-after", "0.5")
    with driver(server) as kong:
        event = begin(kong, "five_calls")
        until(lambda: f"event #{event} dropped" in server.log, "the event is dropped")
        step = kong.call("plugin.Step", {"EventId": event, "Data": 1})
        assert step["Data"]["Method"] == "kong.response.exit"
        assert step["Data"]["Args"][0] == 503


def test_a_client_that_leaves_while_its_handler_waits_frees_its_place(serve: Serve) -> None:
    server = serve("--max-events", "1", "--time-limit", "50")
    with driver(server) as kong:
        with waiting_event(server, kong):
            assert run(kong, "pass").kind == "exited"
        until(lambda: run(kong, "pass").kind == "passed", "the place is free")


def test_stopped_for_less_than_kong_waits_it_answers(serve: Serve) -> None:
    server = serve()
    with driver(server) as kong:
        kong.start_instance({"do": "five_calls"})
        os.kill(server.pid, signal.SIGSTOP)
        outcome = in_background(lambda: run(kong, "five_calls"))
        until(lambda: len(kong.idle) < 3, "the request waits")
        os.kill(server.pid, signal.SIGCONT)
        assert outcome().kind == "passed"


def test_stopped_for_longer_it_grants_nothing_and_gives_no_late_answer_to_a_later_request(
    serve: Serve,
) -> None:
    server = serve("--kong-read-timeout", "1.5", "--time-limit", "1")
    with driver(server, read_timeout=1.0, connections=2) as kong:
        kong.start_instance({"do": "five_calls"})
        os.kill(server.pid, signal.SIGSTOP)
        request = ScriptedRequest()
        assert run(kong, "five_calls", request).kind == "unplugged"
        assert run(kong, "five_calls", request).kind == "unplugged"
        assert run(kong, "five_calls", request).kind == "unplugged"
        assert GROUPS not in request.shared
        os.kill(server.pid, signal.SIGCONT)
        kinds = []

        def is_back() -> bool:
            kinds.append(run(kong, "five_calls").kind)
            return kinds[-1] == "passed"

        until(is_back, "requests pass again")
        assert "failed" not in kinds, "a late answer was taken for that of another request"
        assert {run(kong, "five_calls").kind for _ in range(10)} == {"passed"}


# -- state -----------------------------------------------------------------------------------------


def test_instances_of_one_server_share_state(kong: KongDriver) -> None:
    def count(config: int) -> int:
        request = ScriptedRequest()
        run(kong, "shared_state", request, config=config)
        return int(request.shared["state"]["count"])

    first = count(1)
    assert [count(2), count(1), count(3)] == [first + 1, first + 2, first + 3]


def test_a_closed_instance_is_started_again_by_kong(kong: KongDriver) -> None:
    instance = kong.start_instance({"do": "pass", "again": True})
    assert kong.call("plugin.CloseInstance", instance)["Id"] == instance
    assert run(kong, "pass", again=True).kind == "passed"
    assert kong.start_instance({"do": "pass", "again": True}) != instance
