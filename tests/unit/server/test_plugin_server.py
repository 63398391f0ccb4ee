"""The plugin server by its methods, without a socket: whose turn it is, limits and ids."""

import asyncio
import contextvars
import gc
import json
from collections.abc import Callable
from typing import Any

import pytest
from greenlet import greenlet
from jan_media_plugin.server import event as refusal
from jan_media_plugin.server.dedicated import Limits
from jan_media_plugin.server.event import Event, wait_for
from jan_media_plugin.server.log import ERROR, Log
from jan_media_plugin.server.plugin_server import LoopPluginServer, first_id
from kong_pdk.exception import PluginServerException
from kong_pdk.module import Module

ADMIT = "kong.ctx.shared.jan_media_admit"
Handler = Callable[[Any], object]


def serving(handler: Handler, **limits: Any) -> tuple[LoopPluginServer, int]:
    """A server of a plugin whose access phase is ``handler``, and an instance of it."""

    class Plugin:
        def __init__(self, config: dict[str, Any]) -> None:
            self.config = config

        def access(self, kong: Any) -> None:
            handler(kong)

    server = LoopPluginServer(Limits(**limits), Log(ERROR))
    server.add_plugin(Module("p", module=type("module", (), {"Plugin": Plugin})))
    return server, server.start_instance({"Name": "p", "Config": "{}"})["Id"]


def begin(server: LoopPluginServer, instance: int) -> Any:
    return server.handle_event({"InstanceId": instance, "EventName": "access"})


def twice(kong: Any) -> None:
    kong.first()
    kong.second(1, "x")


def test_an_event_goes_from_call_to_call_to_its_end() -> None:
    server, instance = serving(twice)
    first = begin(server, instance)
    assert first["Data"] == {"Method": "kong.first", "Args": ()}
    second = server.step({"EventId": first["EventId"], "Data": None})
    assert isinstance(second, dict)
    assert second["Data"] == {"Method": "kong.second", "Args": (1, "x")}
    assert server.step({"EventId": first["EventId"]}) == {
        "Data": "ret",
        "EventId": first["EventId"],
    }
    assert server.idle


def test_events_interleave() -> None:
    server, instance = serving(twice)
    events = [begin(server, instance)["EventId"] for _ in range(10)]
    for _ in range(2):
        answers = [server.step({"EventId": event}) for event in reversed(events)]
    assert [answer["Data"] for answer in answers if isinstance(answer, dict)] == ["ret"] * 10


def test_ids_of_a_later_process_are_never_those_of_an_earlier_one() -> None:
    earlier = first_id()
    assert earlier + 4096 < 2**53
    server, instance = serving(twice)
    assert instance >= earlier - 4096
    assert instance != begin(server, instance)["EventId"]


def test_a_full_server_refuses_until_kong_has_been_silent_long_enough(
    capsys: pytest.CaptureFixture[str],
) -> None:
    server, instance = serving(twice, max_events=2, evictable_after=5.0)
    oldest, other = begin(server, instance)["EventId"], begin(server, instance)["EventId"]
    server.step({"EventId": oldest})
    for _ in range(3):
        assert begin(server, instance)["Data"]["Args"][0] == 503
    assert capsys.readouterr().err == "[error] 2 events are in flight: refusing more\n"
    server.now += 5
    assert begin(server, instance)["Data"]["Method"] == "kong.first"
    assert oldest in server.events, "the longest silent event made room, not this one"
    refused = server.step({"EventId": other})
    assert isinstance(refused, dict)
    assert refused["Data"]["Args"][0] == 503


def test_only_silent_events_are_swept() -> None:
    server, instance = serving(twice, abandoned_after=300.0)
    silent, heard = begin(server, instance)["EventId"], begin(server, instance)["EventId"]
    server.events[silent].silent_since -= 301
    server.sweep()
    assert list(server.events) == [heard]


def test_a_dropped_event_unwinds_its_handler() -> None:
    unwound = []

    def handler(kong: Any) -> None:
        try:
            kong.first()
        finally:
            unwound.append(True)

    server, instance = serving(handler)
    begin(server, instance)
    server.end_all()
    assert unwound == [True]
    assert server.idle


def test_greenlets_are_used_again_and_none_is_left_over() -> None:
    server, instance = serving(twice)

    def one() -> None:
        event = begin(server, instance)["EventId"]
        server.step({"EventId": event})
        server.step({"EventId": event})

    one()
    gc.collect()
    before = sum(isinstance(thing, greenlet) for thing in gc.get_objects())
    assert before > 0
    for _ in range(100):
        one()
    begin(server, instance)
    server.end_all()
    gc.collect()
    assert sum(isinstance(thing, greenlet) for thing in gc.get_objects()) <= before


def greenlets() -> int:
    gc.collect()
    return sum(isinstance(thing, greenlet) for thing in gc.get_objects())


def test_greenlets_of_many_events_at_once_do_not_stay() -> None:
    server, instance = serving(twice)
    before = greenlets()
    events = [begin(server, instance)["EventId"] for _ in range(300)]
    for _ in range(2):
        for event in events:
            server.step({"EventId": event})
    assert server.idle
    assert greenlets() - before <= 64


def test_greenlets_of_events_that_are_ended_do_not_stay() -> None:
    server, instance = serving(twice)
    before = greenlets()
    for _ in range(3):
        for _ in range(100):
            begin(server, instance)
        server.end_all()
    assert server.idle
    assert greenlets() - before <= 64


def test_context_variables_do_not_outlive_an_event() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    def handler(kong: Any) -> None:
        seen.append(variable.get())
        variable.set("set")

    server, instance = serving(handler)
    begin(server, instance)
    begin(server, instance)
    assert seen == ["unset", "unset"]
    assert variable.get() == "unset"


def test_an_event_that_waits_is_answered_later() -> None:
    async def scenario() -> list[Any]:
        async def fetched() -> str:
            await asyncio.sleep(0)
            return "found"

        server, instance = serving(lambda kong: kong.first(wait_for(fetched())))
        event = begin(server, instance)
        assert isinstance(event, Event)
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        event.deliver = answered.set_result
        answer = await answered
        end = server.step({"EventId": answer["EventId"]})
        assert isinstance(end, dict)
        return [answer["Data"], end["Data"]]

    assert asyncio.run(scenario()) == [{"Method": "kong.first", "Args": ("found",)}, "ret"]


def test_the_time_of_all_waits_of_an_event_counts_together() -> None:
    async def scenario() -> Any:
        def handler(kong: Any) -> None:
            for _ in range(100):
                wait_for(asyncio.sleep(0.02))

        server, instance = serving(handler, time_limit=0.1)
        event = begin(server, instance)
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        event.deliver = answered.set_result
        return (await answered)["Data"]["Args"][0]

    assert asyncio.run(scenario()) == 503


def test_a_time_limit_cancels_what_is_waited_for() -> None:
    async def scenario() -> str:
        cancelled: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def forever() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                cancelled.set_result("cancelled")

        server, instance = serving(lambda kong: wait_for(forever()), time_limit=0.01)
        begin(server, instance)
        return await cancelled

    assert asyncio.run(scenario()) == "cancelled"


def test_waiting_raises_what_the_coroutine_raised() -> None:
    async def scenario() -> Any:
        async def fail() -> None:
            raise LookupError("not there")

        def handler(kong: Any) -> None:
            try:
                wait_for(fail())
            except LookupError as error:
                kong.response.exit(404, str(error))

        server, instance = serving(handler)
        event = begin(server, instance)
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        event.deliver = answered.set_result
        return (await answered)["Data"]

    assert asyncio.run(scenario())["Args"] == (404, "not there")


def test_outside_an_event_there_is_no_waiting() -> None:
    async def nothing() -> None:
        pass

    with pytest.raises(RuntimeError, match="handler"):
        wait_for(nothing())


def test_a_coroutine_cannot_call_the_pdk() -> None:
    async def scenario() -> Any:
        def handler(kong: Any) -> None:
            async def call() -> None:
                kong.first()

            try:
                wait_for(call())
            except RuntimeError as error:
                kong.response.exit(500, str(error))

        server, instance = serving(handler)
        event = begin(server, instance)
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        event.deliver = answered.set_result
        return (await answered)["Data"]["Args"][1]

    assert asyncio.run(scenario()) == "only a handler may do this, while it handles an event"


def test_the_call_that_kong_does_not_come_back_from_is_the_events_end() -> None:
    went_on = []

    def handler(kong: Any) -> None:
        kong.ctx.shared.jan_media_admit(["jan-users"])
        went_on.append(True)

    server, instance = serving(handler)
    word = begin(server, instance)
    assert word["Data"] == {"Method": ADMIT, "Args": (["jan-users"],)}
    assert (server.idle, went_on) == (True, [])
    # A Kong that came back after all would let nothing pass.
    back = server.step({"EventId": word["EventId"]})
    assert back == {"Data": refusal.INTERRUPTED, "EventId": word["EventId"]}


def test_an_unknown_plugin_is_an_error_and_a_configuration_that_is_not_json_a_refusal() -> None:
    server, _ = serving(twice)
    with pytest.raises(PluginServerException):
        server.start_instance({"Name": "q", "Config": "{}"})
    instance = server.start_instance({"Name": "p", "Config": "{"})["Id"]
    exit_call = begin(server, instance)["Data"]
    assert exit_call["Method"] == "kong.response.exit"
    assert json.loads(exit_call["Args"][1])["error"]["code"] == "gateway_misconfigured"


def test_status_and_instances_are_told_as_kong_pdk_tells_them() -> None:
    server, instance = serving(twice)
    assert server.instance_status(instance)["Id"] == instance
    assert [one["Id"] for one in server.get_status()["Plugins"]["p"]["Instances"]] == [instance]
    assert server.close_instance(instance)["Id"] == instance
    with pytest.raises(PluginServerException, match=r"^no plugin instance"):
        server.instance_status(instance)
