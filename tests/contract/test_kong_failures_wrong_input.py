"""After any input on its socket, the plugin server stays up and serves its other connections."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.kong_driver import (
    Binary,
    CallFailed,
    KongDriver,
    PluginServerProcess,
    ScriptedRequest,
    pack_like_lua,
)
from tests.support.kong_load import Script, run_load
from tests.support.odd_plugin import SECRET
from tests.support.odd_servers import (
    ACCESS,
    assert_refused,
    begin,
    connected,
    driver,
    message,
    odd_server,
    run,
)


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


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xc1",
        b"\x00",
        b"\xff" * 100_000,
        b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff" + b"x" * 1000,
        pack_like_lua({"no": "request"}),
        pack_like_lua([0, 1, "plugin.HandleEvent"]),
        pack_like_lua([2, 1, "plugin.HandleEvent", []]),
        pack_like_lua([0, "one", "plugin.HandleEvent", []]),
        pack_like_lua([0, 1, ["plugin.HandleEvent"], []]),
        pack_like_lua([0, 1, "plugin.HandleEvent", {"InstanceId": 1}]),
    ],
)
def test_garbage_costs_its_own_connection_at_most(
    lasting: PluginServerProcess, kong: KongDriver, garbage: bytes
) -> None:
    with connected(lasting) as other:
        other.sendall(garbage)
        other.shutdown(socket.SHUT_WR)
        while other.recv(65536):
            pass
    assert run(kong, "five_calls").kind == "passed"


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("plugin.Nothing", [{}]),
        ("plugin.SetPluginDir", ["/"]),
        ("plugin.Cleanup", []),
        ("plugin.__init__", []),
        ("kong.response.exit", [200]),
        ("HandleEvent", [{}]),
        ("", []),
        ("plugin.HandleEvent", []),
        ("plugin.HandleEvent", [1, 2, 3]),
        ("plugin.HandleEvent", ["x"]),
        ("plugin.HandleEvent", [{"InstanceId": ["x"], "EventName": "access"}]),
        ("plugin.HandleEvent", [{"InstanceId": 1.5, "EventName": "access"}]),
        ("plugin.Step", [{"Data": 1}]),
        ("plugin.Step", [{"EventId": {"a": 1}}]),
        ("plugin.StartInstance", [{}]),
        ("plugin.StartInstance", [{"Name": "another", "Config": "{}"}]),
        ("plugin.StartInstance", [{"Name": "odd", "Config": '{"x": "\\ud800"}'}]),
        ("plugin.CloseInstance", [{"x": 1}]),
        ("plugin.CloseInstance", [12]),
        ("plugin.InstanceStatus", [12]),
    ],
)
def test_a_wrong_call_gets_an_error_or_a_refusal_and_the_connection_goes_on(
    lasting: PluginServerProcess, method: str, args: list[Any]
) -> None:
    with KongDriver(lasting.path, plugin="odd", connections=1) as kong:
        connection = kong.idle[0]
        error = ""
        try:
            answer = kong.call(method, *args)
        except CallFailed as failure:
            error = str(failure)
        else:
            assert answer["Data"]["Method"] == "kong.response.exit"
        assert error != "no data"
        assert run(kong, "five_calls").kind == "passed"
        assert list(kong.idle) == [connection]


def test_an_unknown_instance_is_named_in_the_words_that_kong_looks_for(kong: KongDriver) -> None:
    with pytest.raises(CallFailed, match=r"^no plugin instance"):
        kong.call("plugin.HandleEvent", {"InstanceId": 7, **ACCESS})


@pytest.mark.parametrize("step", ["plugin.Step", "plugin.StepError", "plugin.StepMultiMap"])
def test_a_step_of_an_unknown_event_is_refused(kong: KongDriver, step: str) -> None:
    answer = kong.call(step, {"EventId": 7, "Data": "x"})
    assert answer["Data"]["Method"] == "kong.response.exit"
    assert answer["Data"]["Args"][0] == 503


def test_a_step_that_is_sent_twice_does_not_run_the_handler_twice(kong: KongDriver) -> None:
    event = begin(kong, "raise_between")
    first = kong.call("plugin.Step", {"EventId": event, "Data": 1})
    second = kong.call("plugin.Step", {"EventId": event, "Data": 1})
    assert [answer["Data"]["Args"][0] for answer in (first, second)] == [500, 503]


def test_a_phase_that_the_plugin_does_not_have_is_refused(kong: KongDriver) -> None:
    for phase in ("rewrite", "__init__", "do"):
        outcome = kong.request(ScriptedRequest(), {"do": "pass"}, phase)
        assert_refused(outcome, 500, "internal_error")


def test_a_half_message_waits_for_its_other_half(
    lasting: PluginServerProcess, kong: KongDriver
) -> None:
    instance = kong.start_instance({"do": "pass"})
    whole = message(9, "plugin.HandleEvent", {"InstanceId": instance, **ACCESS})
    with connected(lasting) as slow:
        for position in range(len(whole)):
            slow.sendall(whole[position : position + 1])
            if position == len(whole) // 2:
                assert run(kong, "five_calls").kind == "passed"
        assert b"ret" in slow.recv(65536)


def test_a_client_that_leaves_in_the_middle_of_a_message_harms_nobody(
    lasting: PluginServerProcess, kong: KongDriver
) -> None:
    for length in (1, 10, 40):
        with connected(lasting) as leaving:
            leaving.sendall(message(1, "plugin.HandleEvent", {"InstanceId": 1, **ACCESS})[:length])
    assert run(kong, "five_calls").kind == "passed"


def test_requests_in_one_breath_are_all_answered(
    lasting: PluginServerProcess, kong: KongDriver
) -> None:
    instance = kong.start_instance({"do": "large", "size": 100_000})
    count = 200
    asked = b"".join(
        message(number, "plugin.HandleEvent", {"InstanceId": instance, **ACCESS})
        for number in range(count)
    )
    with connected(lasting) as eager:
        eager.sendall(asked)
        received = bytearray()
        while received.count(b"EventId") < count:
            piece = eager.recv(1 << 20)
            assert piece, "the connection was closed"
            received += piece
    assert received.count(b"kong.service.request.set_raw_body") == count


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.binary() | st.integers(0, 9), inner),
    max_leaves=10,
)
METHODS = st.sampled_from(
    ["plugin.HandleEvent", "plugin.Step", "plugin.StepError", "plugin.StartInstance"]
)
FIELDS = st.dictionaries(
    st.sampled_from(["InstanceId", "EventName", "EventId", "Data", "Name", "Config"]), VALUES
)


def outlived_by(lasting: PluginServerProcess, sent: bytes, kong: KongDriver) -> bool:
    """Send ``sent`` and no more, read all that comes, and ask whether other requests still pass."""
    with connected(lasting) as other, contextlib.suppress(ConnectionError):
        other.sendall(sent)
        other.shutdown(socket.SHUT_WR)
        while other.recv(65536):
            pass
    return run(kong, "five_calls").kind == "passed"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(sent=st.binary(max_size=400))
def test_any_bytes_are_outlived(
    lasting: PluginServerProcess, kong: KongDriver, sent: bytes
) -> None:
    assert outlived_by(lasting, sent, kong)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(sent=VALUES | st.tuples(st.just(0), st.integers(0, 99), METHODS, st.lists(FIELDS | VALUES)))
def test_any_message_is_outlived(lasting: PluginServerProcess, kong: KongDriver, sent: Any) -> None:
    assert outlived_by(lasting, pack_like_lua(sent), kong)


def test_memory_does_not_grow_with_requests(lasting: PluginServerProcess, kong: KongDriver) -> None:
    instance = kong.start_instance({"do": "five_calls"})
    script = Script.of(
        ("kong.request.get_headers", "plugin.StepMultiMap", {"host": ["x"]}),
        ("kong.request.get_raw_body", "plugin.Step", Binary(b"x" * 2048)),
        ("kong.client.authenticate", "plugin.StepCredential", None),
        ("kong.service.request.set_headers", "plugin.Step", None),
        ("kong.ctx.shared.set", "plugin.Step", None),
    )

    def load() -> int:
        run_load(lasting.path, instance, script, connections=8, seconds=1)
        return lasting.resident_bytes()

    warm = load()
    assert load() - warm < 1 << 20
