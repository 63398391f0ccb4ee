"""The plugin server's methods, without a socket: turns, limits and ids."""

import asyncio
import contextvars
import gc
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from jan_media_plugin.server import event as refusal
from jan_media_plugin.server.plugin_server import Limits, LoopPluginServer, first_id
from kong_pdk.exception import PluginServerException
from kong_pdk.module import Module

pytestmark = pytest.mark.anyio

ADMIT = "kong.ctx.shared.jan_media_admit"
Answer = dict[str, Any]
Handler = Callable[[Any], Awaitable[object]]


@pytest.fixture
def anyio_backend() -> str:
    """The loop that the server runs on."""
    return "asyncio"


class Question:
    """A question of Kong's, and the server's answer to it."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def answer(self, answer: Answer) -> None:
        self.answered.set_result(answer)


def serving(handler: Handler, **limits: Any) -> tuple[LoopPluginServer, int]:
    """A server of a plugin whose access phase is ``handler``, and an instance of it."""

    class Plugin:
        def __init__(self, config: dict[str, Any]) -> None:
            self.config = config

        async def access(self, kong: Any) -> None:
            await handler(kong)

    server = LoopPluginServer(Limits(**limits))
    server.plugins["p"] = Module("p", module=type("module", (), {"Plugin": Plugin}))
    return server, server.start_instance({"Name": "p", "Config": "{}"})["Id"]


async def begin(server: LoopPluginServer, instance: int) -> Answer:
    """Start an event, and wait for its first word."""
    question = Question()
    server.handle_event(question, {"InstanceId": instance, "EventName": "access"})
    return await question.answered


async def step(server: LoopPluginServer, event: float, data: Any = None) -> Answer:
    """Say what the PDK call of an event returned, and wait for its next word."""
    question = Question()
    server.step(question, {"EventId": event, "Data": data})
    return await question.answered


async def idle(server: LoopPluginServer) -> None:
    """Return when no event is in flight."""
    await asyncio.gather(*(event.task for event in server.events.values()))
    assert not server.events


async def drop(server: LoopPluginServer, silent: float, after: float) -> None:
    """Have Kong been silent about an event for so long, and wait for its end."""
    event = server.events[silent]
    event._turn_began -= after
    server.sweep()
    await event.task


async def twice(kong: Any) -> None:
    await kong.first()
    await kong.second(1, "x")


async def test_an_event_goes_from_call_to_call_to_its_end() -> None:
    server, instance = serving(twice)
    first = await begin(server, instance)
    event = first["EventId"]
    assert first["Data"] == {"Method": "kong.first", "Args": ()}
    second = await step(server, event)
    assert second["Data"] == {"Method": "kong.second", "Args": (1, "x")}
    assert await step(server, event) == {"Data": "ret", "EventId": event}
    await idle(server)


async def test_what_a_call_returned_is_the_handlers_to_use() -> None:
    async def handler(kong: Any) -> None:
        await kong.second(await kong.first())

    server, instance = serving(handler)
    event = (await begin(server, instance))["EventId"]
    assert (await step(server, event, "found"))["Data"]["Args"] == ("found",)


async def test_events_interleave() -> None:
    server, instance = serving(twice)
    events = [(await begin(server, instance))["EventId"] for _ in range(10)]
    for _ in range(2):
        answers = [await step(server, event) for event in reversed(events)]
    assert [answer["Data"] for answer in answers] == ["ret"] * 10


async def test_ids_of_a_later_process_are_never_those_of_an_earlier_one() -> None:
    earlier = first_id()
    assert earlier + 4096 < 2**53
    server, instance = serving(twice)
    assert instance >= earlier - 4096
    assert instance != (await begin(server, instance))["EventId"]


async def test_a_full_server_refuses_until_kong_has_been_silent_long_enough(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, instance = serving(twice, max_events=2, evictable_after=5.0)
    heard, silent = [(await begin(server, instance))["EventId"] for _ in range(2)]
    for _ in range(3):
        assert (await begin(server, instance))["Data"]["Args"][0] == 503
    assert [line.getMessage() for line in caplog.records if line.levelno == logging.ERROR] == [
        "2 events are in flight: refusing more"
    ]
    await drop(server, silent, after=5)
    assert (await begin(server, instance))["Data"]["Method"] == "kong.first"
    assert heard in server.events
    assert (await step(server, silent))["Data"]["Args"][0] == 503


async def test_only_silent_events_are_swept() -> None:
    server, instance = serving(twice, abandoned_after=300.0)
    silent, heard = [(await begin(server, instance))["EventId"] for _ in range(2)]
    await drop(server, silent, after=301)
    assert list(server.events) == [heard]


async def test_a_dropped_event_unwinds_its_handler() -> None:
    unwound = []

    async def handler(kong: Any) -> None:
        try:
            await kong.first()
        finally:
            unwound.append(True)

    server, instance = serving(handler)
    event = server.events[(await begin(server, instance))["EventId"]]
    server.end_all()
    await event.task
    assert unwound == [True]


def tasks() -> int:
    gc.collect()
    return len(asyncio.all_tasks())


@pytest.mark.parametrize("are_ended", [False, True])
async def test_nothing_of_events_stays_when_they_are_over(are_ended: bool) -> None:
    server, instance = serving(twice)
    before = tasks()
    for _ in range(3):
        events = [(await begin(server, instance))["EventId"] for _ in range(100)]
        running = [event.task for event in server.events.values()]
        if are_ended:
            server.end_all()
        else:
            for event in events * 2:
                await step(server, event)
        await asyncio.wait(running)
    assert not server.events
    assert tasks() == before


async def test_context_variables_do_not_outlive_an_event() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    async def handler(kong: Any) -> None:
        seen.append(variable.get())
        variable.set("set")

    server, instance = serving(handler)
    await begin(server, instance)
    await begin(server, instance)
    assert seen == ["unset", "unset"]
    assert variable.get() == "unset"


async def test_the_time_of_all_waits_of_an_event_counts_together() -> None:
    async def handler(kong: Any) -> None:
        await asyncio.sleep(0.06)
        await kong.first()
        await asyncio.sleep(0.06)
        await kong.second()

    server, instance = serving(handler, time_limit=0.1)
    event = (await begin(server, instance))["EventId"]
    question = Question()
    server.step(question, {"EventId": event})
    while not question.answered.done():
        await asyncio.sleep(0.01)
        server.sweep()
    assert (await question.answered)["Data"]["Args"][0] == 503


async def test_the_time_that_kong_takes_does_not_count() -> None:
    server, instance = serving(twice, time_limit=0.1)
    event = (await begin(server, instance))["EventId"]
    server.events[event]._turn_began -= 1
    server.sweep()
    assert (await step(server, event))["Data"]["Method"] == "kong.second"


async def test_a_time_limit_cancels_what_is_waited_for() -> None:
    cancelled = asyncio.Event()

    async def handler(kong: Any) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.set()

    server, instance = serving(handler, time_limit=10)
    answer = asyncio.create_task(begin(server, instance))
    await asyncio.sleep(0.01)
    (event,) = server.events.values()
    event._turn_began -= 10
    server.sweep()
    await cancelled.wait()
    assert (await answer)["Data"]["Args"][0] == 503


async def test_one_event_makes_one_call_at_a_time() -> None:
    async def handler(kong: Any) -> None:
        await asyncio.gather(kong.first(), kong.second())

    server, instance = serving(handler)
    event = (await begin(server, instance))["EventId"]
    assert (await step(server, event))["Data"]["Method"] == "kong.response.exit"


async def test_the_call_that_kong_does_not_come_back_from_is_the_events_end() -> None:
    went_on = []

    async def handler(kong: Any) -> None:
        await kong.ctx.shared.jan_media_admit(["jan-users"])
        went_on.append(True)

    server, instance = serving(handler)
    word = await begin(server, instance)
    assert word["Data"] == {"Method": ADMIT, "Args": (["jan-users"],)}
    await idle(server)
    assert went_on == []
    # A Kong that came back after all would let nothing pass.
    back = await step(server, word["EventId"])
    assert back == {"Data": refusal.INTERRUPTED, "EventId": word["EventId"]}


@pytest.mark.parametrize("method", ["kong.response.exit", ADMIT])
async def test_a_last_call_that_cannot_be_packed_refuses_the_request(method: str) -> None:
    class Picky(Question):
        def answer(self, answer: Answer) -> None:
            if answer["Data"]["Method"] == method and answer["Data"]["Args"] == (1,):
                raise TypeError
            super().answer(answer)

    async def handler(kong: Any) -> None:
        for name in method.split(".")[1:]:
            kong = getattr(kong, name)
        await kong(1)

    server, instance = serving(handler)
    question = Picky()
    server.handle_event(question, {"InstanceId": instance, "EventName": "access"})
    assert (await question.answered)["Data"] == refusal.FAILED


async def test_an_unknown_plugin_is_an_error_and_a_configuration_that_is_no_json_refuses() -> None:
    server, _ = serving(twice)
    with pytest.raises(PluginServerException):
        server.start_instance({"Name": "q", "Config": "{}"})
    instance = server.start_instance({"Name": "p", "Config": "{"})["Id"]
    exit_call = (await begin(server, instance))["Data"]
    assert exit_call["Method"] == "kong.response.exit"
    assert json.loads(exit_call["Args"][1])["error"]["code"] == "gateway_misconfigured"


def test_status_and_instances_are_told_as_kong_pdk_tells_them() -> None:
    server, instance = serving(twice)
    assert server.instance_status(instance)["Id"] == instance
    assert [one["Id"] for one in server.get_status()["Plugins"]["p"]["Instances"]] == [instance]
    assert server.close_instance(instance)["Id"] == instance
    with pytest.raises(PluginServerException, match=r"^no plugin instance"):
        server.instance_status(instance)
