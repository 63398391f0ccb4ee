"""Ids are looked up once, together, and their URLs cached while they are valid long enough."""

import asyncio
import time
from pathlib import Path

import pytest
from jan_media_plugin.answers import Unavailable
from jan_media_plugin.bounded_cache import BoundedCache
from jan_media_plugin.fit import Fit
from jan_media_plugin.resolve.media import Answer, Foreign, Found, MediaLookup, NoMedia
from jan_media_plugin.resolve.sidecar import Sidecar

from tests.unit.plugin.bodies import ID, OTHER_ID
from tests.unit.plugin.fake_sidecar import FakeSidecar, running_fake_sidecar


class Urls:
    """A lookup, of which only the URLs are told."""

    def __init__(self, client: Sidecar, cache_size: int = 100) -> None:
        self.lookup = MediaLookup(client, cache_size=cache_size)

    async def resolve(self, names: list[str]) -> dict[str, object]:
        return told(await self.lookup.resolve(names, None))

    def remembered(self, names: list[str]) -> dict[str, object]:
        return told(self.lookup.remembered(names, None))


def told(answers: dict[str, Answer]) -> dict[str, object]:
    return {
        name: answer.url if isinstance(answer, Found) else answer
        for name, answer in answers.items()
    }


def urls(sidecar: FakeSidecar, *, timeout: float = 2) -> Urls:
    return Urls(Sidecar(sidecar.url, None, timeout))


def test_concurrent_questions_about_an_id_share_one_flight(sidecar: FakeSidecar) -> None:
    async def scenario() -> None:
        sidecar.media = {ID: "u1", OTHER_ID: "u2"}
        sidecar.delay = 0.1
        resolver = urls(sidecar)
        answers = await asyncio.gather(
            *(resolver.resolve([ID]) for _ in range(10)), resolver.resolve([ID, OTHER_ID])
        )
        assert answers == [{ID: "u1"}] * 10 + [{ID: "u1", OTHER_ID: "u2"}]
        asked = [question["names"] for question in sidecar.questions("/internal/resolve")]
        # Two questions are under way at once, on connections of their own: either may arrive first.
        assert sorted(asked) == sorted([[ID], [OTHER_ID]])

    asyncio.run(scenario())


def test_who_gives_up_does_not_end_the_flight_of_others(sidecar: FakeSidecar) -> None:
    async def scenario() -> None:
        sidecar.media = {ID: "u1"}
        sidecar.delay = 0.2
        resolver = urls(sidecar)
        first = asyncio.create_task(resolver.resolve([ID]))
        await asyncio.sleep(0)
        second = asyncio.create_task(resolver.resolve([ID]))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == {ID: "u1"}

    asyncio.run(scenario())


@pytest.mark.parametrize(("left", "kept"), [(300.0, True), (151.0, True), (149.0, False)])
def test_a_url_is_kept_only_while_half_its_life_is_left(
    sidecar: FakeSidecar, left: float, kept: bool
) -> None:
    sidecar.media = {ID: "u1"}
    sidecar.left = left
    resolver = urls(sidecar)
    assert asyncio.run(resolver.resolve([ID])) == {ID: "u1"}
    assert resolver.remembered([ID, OTHER_ID]) == ({ID: "u1"} if kept else {})


def test_what_has_no_media_is_asked_for_again(sidecar: FakeSidecar) -> None:
    async def scenario() -> None:
        resolver = urls(sidecar)
        expected = {ID: NoMedia("media_not_found", "It is not there.")}
        assert await resolver.resolve([ID]) == expected
        sidecar.media = {ID: "u1"}
        assert resolver.remembered([ID]) == {}
        assert await resolver.resolve([ID]) == {ID: "u1"}

    asyncio.run(scenario())


def test_a_url_that_is_not_ours_is_told_apart_and_not_kept(sidecar: FakeSidecar) -> None:
    url = f"https://elsewhere.example/{ID}"
    sidecar.foreign = [url]
    resolver = urls(sidecar)
    assert isinstance(asyncio.run(resolver.resolve([url]))[url], Foreign)
    assert resolver.remembered([url]) == {}


def test_what_fits_one_route_is_not_taken_for_another(sidecar: FakeSidecar) -> None:
    sidecar.media = {ID: "u1"}
    lookup = MediaLookup(Sidecar(sidecar.url, None, 2), cache_size=10)
    asyncio.run(lookup.resolve([ID], Fit(max_edge=2000)))
    assert lookup.remembered([ID], None) == {}
    assert lookup.remembered([ID], Fit(max_edge=8000)) == {}
    assert ID in lookup.remembered([ID], Fit(max_edge=2000))
    (question,) = sidecar.questions("/internal/resolve")
    assert question["fit"]["max_edge"] == 2000


def test_a_sidecar_that_is_broken_slow_or_gone_is_an_error_within_the_limit(
    sidecar: FakeSidecar,
) -> None:
    sidecar.broken = True
    with pytest.raises(Unavailable):
        asyncio.run(urls(sidecar).resolve([ID]))
    sidecar.broken = False
    sidecar.delay = 5
    began = time.monotonic()
    with pytest.raises(Unavailable):
        asyncio.run(urls(sidecar, timeout=0.2).resolve([ID]))
    assert time.monotonic() - began < 2
    sidecar.port = 1
    with pytest.raises(Unavailable):
        asyncio.run(urls(sidecar).resolve([ID]))


def test_the_sidecar_may_listen_on_a_unix_socket(tmp_path: Path) -> None:
    with running_fake_sidecar(tmp_path / "sidecar.sock") as fake:
        fake.media = {ID: "u1"}
        client = Sidecar(f"unix:{tmp_path}/sidecar.sock", "s3cret", 2)
        resolver = Urls(client)
        assert asyncio.run(resolver.resolve([ID])) == {ID: "u1"}
        assert fake.headers[0]["x-jan-gateway-secret"] == "s3cret"


def test_a_cache_is_bounded_and_forgets() -> None:
    now = 0.0
    cache: BoundedCache[int, str] = BoundedCache(3, clock=lambda: now)
    for number in range(10):
        cache.put(number, "x", 5)
    assert len(cache) == 3
    assert cache.get(0) is None
    assert cache.get(9) == "x"
    now = 5.0
    assert cache.get(9) is None
    cache.put(1, "x", 0)
    assert cache.get(1) is None
