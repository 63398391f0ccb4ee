"""A body that arrives too slowly does not hold an upload slot forever."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from jan_media.api import bodies
from jan_media.errors import Refused
from starlette.requests import Request
from starlette.types import Message


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "STALL_SECONDS", 0.6)
    monkeypatch.setattr(bodies, "SLOWEST", 1000)


def request_of(coming: AsyncIterator[bytes]) -> Request:
    """A request whose body comes like this."""

    async def receive() -> Message:
        chunk = await anext(coming, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


def received(coming: Callable[[], AsyncIterator[bytes]], pause: float = 0.0) -> int:
    """How many bytes are taken, by one that needs so many seconds for each read."""

    async def take() -> int:
        total = 0
        async for chunk in bodies.Arriving(request_of(coming())).reads():
            total += len(chunk)
            await asyncio.sleep(pause)
        return total

    return asyncio.run(take())


async def silent() -> AsyncIterator[bytes]:
    yield b"a" * 100_000
    await asyncio.sleep(60)


async def dripping() -> AsyncIterator[bytes]:
    while True:
        yield b"a"
        await asyncio.sleep(0.02)


async def steady() -> AsyncIterator[bytes]:
    for _ in range(40):  # for longer than a body may stall, and much faster than it must be
        yield b"a" * 1000
        await asyncio.sleep(0.02)


async def swift() -> AsyncIterator[bytes]:
    for _ in range(20):
        yield b"a"


def test_a_body_that_stops_is_refused() -> None:
    with pytest.raises(Refused, match="Nothing of the body came for"):
        received(silent)


def test_a_body_that_drips_is_refused() -> None:
    with pytest.raises(Refused, match="less than 1000 bytes a second") as refused:
        received(dripping)
    assert refused.value.code == "request_timeout"


def test_a_slow_but_steady_body_is_taken() -> None:
    assert received(steady) == 40_000


def test_the_time_that_we_take_ourselves_does_not_count() -> None:
    assert received(swift, pause=0.03) == 20
