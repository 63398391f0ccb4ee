"""Slots limit concurrent uploads and fetches, and each caller has a share of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from jan_media.api import bodies, slots
from jan_media.api.bodies import Arriving
from jan_media.api.errors import answer_to
from jan_media.api.slots import Slots
from jan_media.errors import Refused, TooBusy
from starlette.requests import Request
from starlette.types import Message

Scenario = Callable[[], Coroutine[Any, Any, None]]


async def turns() -> None:
    """Let every task go on until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def holding(all_slots: Slots, *callers: str) -> AsyncIterator[None]:
    async with AsyncExitStack() as held:
        for caller in callers:
            await held.enter_async_context(all_slots.taken(caller))
        yield


async def hold(all_slots: Slots, caller: str, until: asyncio.Event) -> None:
    async with all_slots.taken(caller):
        await until.wait()


def test_beyond_the_limit_a_request_waits_for_a_free_place() -> None:
    async def scenario() -> None:
        all_slots, ended = Slots(2, patience=5), asyncio.Event()
        first = [asyncio.create_task(hold(all_slots, caller, ended)) for caller in "ab"]
        await turns()
        third = asyncio.create_task(hold(all_slots, "c", ended))
        await turns()
        assert not third.done()
        ended.set()
        await asyncio.gather(*first, third)

    asyncio.run(scenario())


@pytest.mark.parametrize("waiting", [0, 1])
def test_it_is_sent_away_if_none_becomes_free_or_too_many_wait(waiting: int) -> None:
    async def scenario() -> None:
        all_slots = Slots(2, patience=0.05, waiting=waiting)
        async with holding(all_slots, "a", "b"):
            with pytest.raises(TooBusy):
                await hold(all_slots, "c", asyncio.Event())
        async with holding(all_slots, "c", "d"):
            pass

    asyncio.run(scenario())


@pytest.mark.parametrize(("guest", "share"), [(False, 4), (True, 2)])
def test_a_caller_holds_no_more_than_a_share(guest: bool, share: int) -> None:
    async def scenario() -> None:
        all_slots = Slots(8, patience=0.05)
        async with AsyncExitStack() as held:
            for _ in range(share):
                await held.enter_async_context(all_slots.taken("a", guest=guest))
            with pytest.raises(Refused, match=f"You have {share} requests") as refused:
                async with all_slots.taken("a", guest=guest):
                    pass
            assert refused.value.code == "too_many_requests"
            async with all_slots.taken("b", guest=guest):
                pass

    asyncio.run(scenario())


def test_who_waits_for_an_own_place_holds_nobody_else_up() -> None:
    async def scenario() -> None:
        all_slots, ended = Slots(4, patience=5), asyncio.Event()
        of_one = [asyncio.create_task(hold(all_slots, "a", ended)) for _ in range(20)]
        await turns()
        async with all_slots.taken("b"):
            pass
        ended.set()
        await asyncio.gather(*of_one)

    asyncio.run(scenario())


def test_one_caller_cannot_fill_the_queue() -> None:
    async def scenario() -> None:
        all_slots, ended = Slots(2, patience=5, waiting=8), asyncio.Event()
        of_one = [asyncio.create_task(hold(all_slots, "a", ended)) for _ in range(20)]
        await turns()
        refused = [task for task in of_one if task.done()]
        assert len(refused) == 20 - 1 - 2
        other = asyncio.create_task(hold(all_slots, "b", ended))
        await turns()
        assert not other.done()
        ended.set()
        await asyncio.gather(other, *of_one, return_exceptions=True)
        assert other.exception() is None

    asyncio.run(scenario())


def test_a_request_that_fails_or_is_cancelled_gives_its_place_back() -> None:
    async def scenario() -> None:
        all_slots = Slots(2, patience=0.05)
        for _ in range(5):
            with pytest.raises(ValueError, match="broken"):
                async with all_slots.taken("a"):
                    raise ValueError("broken")
        async with holding(all_slots, "a", "b"):
            waiting = asyncio.create_task(hold(all_slots, "c", asyncio.Event()))
            await turns()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        async with holding(all_slots, "a", "b"):
            pass

    asyncio.run(scenario())


def request_with(receive: Callable[[], Coroutine[Any, Any, Message]]) -> Request:
    return Request({"type": "http", "method": "POST", "headers": []}, receive)


async def send_slowly() -> Message:
    await asyncio.sleep(0.01)
    return {"type": "http.request", "body": b"a", "more_body": True}


async def send_nothing() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("receive", [send_slowly, send_nothing])
def test_a_slow_sender_loses_its_place_to_who_waits(
    receive: Callable[[], Coroutine[Any, Any, Message]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "FAIR_SECONDS", 0.1)
    monkeypatch.setattr(slots, "LOOK_AGAIN", 0.02)

    async def scenario() -> None:
        all_slots = Slots(2, patience=5)

        async def send(caller: str) -> None:
            arriving = Arriving(request_with(receive))
            async with all_slots.taken(caller, sender=arriving):
                async for _ in arriving.reads():
                    pass

        senders = [asyncio.create_task(send(caller)) for caller in "ab"]
        await turns()
        async with all_slots.taken("c"):
            lost, kept = await asyncio.wait(senders, return_when=asyncio.FIRST_COMPLETED)
            assert (len(lost), len(kept)) == (1, 1)
            with pytest.raises(Refused, match="too slowly while others wait"):
                await lost.pop()
        for task in kept:
            task.cancel()

    asyncio.run(scenario())


def test_a_slow_sender_keeps_its_place_while_nobody_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "FAIR_SECONDS", 0.05)
    monkeypatch.setattr(slots, "LOOK_AGAIN", 0.01)

    async def scenario() -> None:
        all_slots = Slots(2)
        arriving = Arriving(request_with(send_slowly))
        async with all_slots.taken("a", sender=arriving):
            reads = arriving.reads()
            for _ in range(20):
                assert await anext(reads) == b"a"

    asyncio.run(scenario())


def test_the_answer_names_the_limit_and_says_when_to_come_again() -> None:
    answer = asyncio.run(answer_to(request_with(send_nothing), TooBusy(16)))
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True)
    assert "limit of 16 requests" in json.loads(bytes(answer.body))["error"]["message"]
