"""So many uploads and fetches at once; the next ones wait a little, then are told the limit."""

import asyncio
import json

import pytest
from jan_media.api.errors import response_to
from jan_media.errors import TooBusy
from jan_media.lanes import Admission


async def hold(admission: Admission, until: asyncio.Event) -> None:
    async with admission.admitted():
        await until.wait()


def test_beyond_the_limit_a_request_waits_for_a_free_place() -> None:
    async def scenario() -> None:
        admission, ended = Admission(1, patience=5), asyncio.Event()
        first = asyncio.create_task(hold(admission, ended))
        await asyncio.sleep(0)
        second = asyncio.create_task(hold(admission, ended))
        await asyncio.sleep(0)
        assert not second.done()
        ended.set()
        await asyncio.gather(first, second)

    asyncio.run(scenario())


@pytest.mark.parametrize("waiting", [0, 1])
def test_it_is_sent_away_if_none_becomes_free_or_too_many_wait(waiting: int) -> None:
    async def scenario() -> None:
        admission, ended = Admission(3, patience=0.05, waiting=3 + waiting), asyncio.Event()
        holders = [asyncio.create_task(hold(admission, ended)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(TooBusy):
            await hold(admission, ended)
        ended.set()
        await asyncio.gather(*holders)
        await asyncio.gather(*(hold(admission, ended) for _ in range(3)))

    asyncio.run(scenario())


def test_a_request_that_fails_gives_its_place_back() -> None:
    async def scenario() -> None:
        admission = Admission(1, patience=0.05)
        for _ in range(3):
            with pytest.raises(ValueError, match="broken"):
                async with admission.admitted():
                    raise ValueError("broken")

    asyncio.run(scenario())


def test_the_answer_names_the_limit_and_says_when_to_come_again() -> None:
    answer = response_to(TooBusy(16))
    assert answer is not None
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True)
    assert "limit of 16 requests" in json.loads(bytes(answer.body))["error"]["message"]
