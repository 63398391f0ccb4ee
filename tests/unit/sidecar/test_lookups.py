"""Requests that ask at the same time share a look-up, and nothing else."""

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest
from jan_media.catalog.interface import CatalogUnavailable, Media, State
from jan_media.server.lanes import Lane
from jan_media.server.lookups import AT_ONCE, MOST_IDS, MOST_REQUESTS, Lookups


class Catalog:
    """Notes what it is asked; answers only once it may."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.may_answer = threading.Event()
        self.gone: set[str] = set()
        self.away = False
        self._asking = threading.Semaphore(0)

    def look_up(self, ids: Sequence[str]) -> dict[str, Media]:
        self.asked.append(list(ids))
        self._asking.release()
        assert self.may_answer.wait(10)
        if self.away:
            raise CatalogUnavailable
        there = [id for id in ids if id not in self.gone]
        return {id: Media(id, State.PENDING, "", 0, "", "", 0, 0) for id in there}

    async def was_asked(self) -> None:
        """Wait until it has been asked once more."""
        assert await asyncio.to_thread(self._asking.acquire, timeout=10)


@pytest.fixture
def lane() -> Iterator[Lane]:
    lane = Lane("test", AT_ONCE + 2)
    yield lane
    lane.close()


async def held_up(catalog: Catalog, lookups: Lookups) -> list["asyncio.Task[dict[str, Media]]"]:
    """As many look-ups as run at once, which wait for the catalog."""
    running = []
    for number in range(AT_ONCE):
        running.append(asyncio.create_task(lookups.find([f"first-{number}"])))
        await catalog.was_asked()
    return running


def test_requests_that_come_while_lookups_run_are_asked_for_together(lane: Lane) -> None:
    async def scenario() -> None:
        catalog = Catalog()
        lookups = Lookups(lane, catalog.look_up)
        first = await held_up(catalog, lookups)
        later = [asyncio.create_task(lookups.find(ids)) for ids in (["a", "b"], ["b", "c"])]
        await asyncio.sleep(0)
        catalog.may_answer.set()
        *_, one, other = await asyncio.gather(*first, *later)
        assert catalog.asked[AT_ONCE:] == [["a", "b", "c"]]
        assert {"a", "b"} <= one.keys()
        assert {"b", "c"} <= other.keys()

    asyncio.run(scenario())


def test_one_request_for_many_ids_holds_up_nobody(lane: Lane) -> None:
    many = [f"many-{number}" for number in range(MOST_IDS + 1)]

    async def scenario() -> None:
        catalog = Catalog()
        lookups = Lookups(lane, catalog.look_up)
        first = await held_up(catalog, lookups)
        large = asyncio.create_task(lookups.find(many))
        await catalog.was_asked()
        small = [asyncio.create_task(lookups.find([str(n)])) for n in range(MOST_REQUESTS + 1)]
        await asyncio.sleep(0)
        catalog.may_answer.set()
        await asyncio.gather(*first, large, *small)
        assert catalog.asked[AT_ONCE] == many
        assert sorted(map(len, catalog.asked[AT_ONCE + 1 :])) == [1, MOST_REQUESTS]

    asyncio.run(scenario())


def test_a_request_that_is_given_up_takes_nothing_from_the_others(lane: Lane) -> None:
    async def scenario() -> None:
        catalog = Catalog()
        lookups = Lookups(lane, catalog.look_up)
        given_up, *first = await held_up(catalog, lookups)
        later = asyncio.create_task(lookups.find(["a"]))
        await asyncio.sleep(0)
        given_up.cancel()
        catalog.may_answer.set()
        *_, answer = await asyncio.gather(*first, later)
        assert "a" in answer

    asyncio.run(scenario())


def test_an_id_that_is_gone_when_it_is_asked_for_is_not_found(lane: Lane) -> None:
    async def scenario() -> None:
        catalog = Catalog()
        catalog.may_answer.set()
        lookups = Lookups(lane, catalog.look_up)
        assert [*await lookups.find(["a"])] == ["a"]
        catalog.gone.add("a")
        assert [*await lookups.find(["a"])] == []

    asyncio.run(scenario())


def test_a_catalog_that_is_away_fails_those_who_asked_and_nobody_later(lane: Lane) -> None:
    async def scenario() -> None:
        catalog = Catalog()
        catalog.may_answer.set()
        catalog.away = True
        lookups = Lookups(lane, catalog.look_up)
        failed = await asyncio.gather(
            lookups.find(["a"]), lookups.find(["b"]), return_exceptions=True
        )
        assert [type(each) for each in failed] == [CatalogUnavailable] * 2
        catalog.away = False
        assert [*await lookups.find(["a"])] == ["a"]

    asyncio.run(scenario())
