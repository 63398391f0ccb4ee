"""Requests that ask at the same time share a look-up, and nothing else."""

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest
from jan_media.catalog.interface import CatalogUnavailable, Media, State
from jan_media.lanes import Lane
from jan_media.library.resolve import Resolved
from jan_media.lookups import AT_ONCE, Lookups


class Catalog:
    """Notes what it is asked; answers only once it may."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.may_answer = threading.Event()
        self.gone: set[str] = set()
        self.away = False

    def resolve(self, ids: Sequence[str]) -> Resolved:
        self.asked.append(list(ids))
        assert self.may_answer.wait(10)
        if self.away:
            raise CatalogUnavailable
        pending = [id for id in ids if id not in self.gone]
        return Resolved({}, {id: Media(id, State.PENDING, "", 0, "", "", 0, 0) for id in pending})


@pytest.fixture
def lane() -> Iterator[Lane]:
    lane = Lane("test", 4)
    yield lane
    lane.close()


def test_requests_that_come_while_lookups_run_are_asked_for_together(lane: Lane) -> None:
    async def scenario() -> list[Resolved]:
        catalog = Catalog()
        lookups = Lookups(lane, catalog.resolve)
        first = []
        for number in range(AT_ONCE):
            first.append(asyncio.create_task(lookups.find([f"first-{number}"])))
            while len(catalog.asked) <= number:  # noqa: ASYNC110 (a thread tells)
                await asyncio.sleep(0.001)
        later = [asyncio.create_task(lookups.find(ids)) for ids in (["a", "b"], ["b", "c"])]
        await asyncio.sleep(0)
        catalog.may_answer.set()
        answers = await asyncio.gather(*first, *later)
        assert catalog.asked[AT_ONCE:] == [["a", "b", "c"]]
        return answers[AT_ONCE:]

    assert [[*answer.unready] for answer in asyncio.run(scenario())] == [["a", "b"], ["b", "c"]]


def test_an_id_that_is_gone_when_it_is_asked_for_is_not_found(lane: Lane) -> None:
    async def scenario() -> None:
        catalog = Catalog()
        catalog.may_answer.set()
        lookups = Lookups(lane, catalog.resolve)
        assert [*(await lookups.find(["a"])).unready] == ["a"]
        catalog.gone.add("a")
        assert [*(await lookups.find(["a"])).unready] == []

    asyncio.run(scenario())


def test_a_catalog_that_is_away_fails_those_who_asked_and_nobody_later(lane: Lane) -> None:
    async def scenario() -> None:
        catalog = Catalog()
        catalog.may_answer.set()
        catalog.away = True
        lookups = Lookups(lane, catalog.resolve)
        failed = await asyncio.gather(
            lookups.find(["a"]), lookups.find(["b"]), return_exceptions=True
        )
        assert [type(each) for each in failed] == [CatalogUnavailable] * 2
        catalog.away = False
        assert [*(await lookups.find(["a"])).unready] == ["a"]

    asyncio.run(scenario())
