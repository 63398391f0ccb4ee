"""What every catalog promises under concurrent calls, whatever their interleaving.

A set of storage keys stands for the bytes: writers add keys and sweeps remove them. In the end
the set must hold the key of every id that was answered, and nothing else.
"""

import multiprocessing
import random
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import count
from threading import Barrier, Lock
from typing import Any

from jan_media.catalog.catalog import Catalog
from jan_media.catalog.interface import Claim, Claimed, Expired, IntentLapsed, Released, State
from jan_media.media_id import new_media_id

from tests.support.catalogs import content_of, new_key, open_migrated, upload

NOW = 1_800_000_000_000
DAY = 86_400_000
LATER = NOW + 30 * DAY
ROUNDS = 40  # of each race: enough to meet every order of two short transactions


def at_once(*calls: Callable[[], object]) -> list[Any]:
    """Start all calls in the same moment; their results, in the order given."""
    start = Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def due(catalog: Catalog, now: int) -> list[str]:
    return catalog.take_garbage(now=now, limit=100_000)


# --- one content


def test_of_many_commits_of_one_content_exactly_one_is_first(catalog: Catalog) -> None:
    for n in range(5):
        data = b"content %d" % n
        keys = [new_key() for _ in range(16)]

        outcomes = at_once(
            *(
                partial(
                    upload,
                    catalog,
                    data,
                    f"owner of {key}",
                    now=NOW,
                    expires_at=LATER,
                    storage_key=key,
                )
                for key in keys
            )
        )

        assert Counter(claimed.deduped for claimed in outcomes) == {False: 1, True: 15}
        (id,) = {claimed.media.id for claimed in outcomes}
        (kept,) = {claimed.media.storage_key for claimed in outcomes}
        assert all(catalog.claim_of(id, f"owner of {key}", now=NOW) for key in keys)
        taken = due(catalog, NOW)
        assert sorted([kept, *taken]) == sorted(keys)
        catalog.forget_garbage(taken)


def test_uploads_and_completions_of_one_content_store_it_once(catalog: Catalog) -> None:
    for n in range(ROUNDS // 4):
        data = b"content %d" % n
        pending = [
            catalog.create_pending(
                new_media_id(NOW),
                "image/png",
                new_key("uploads"),
                Claim("ann", NOW),
                upload_until=LATER,
            ).id
            for _ in range(4)
        ]

        def complete(id: str, data: bytes = data) -> str:
            key = new_key()
            catalog.intend(key, due_at=LATER)
            media = catalog.complete_pending(id, content_of(data), key, now=NOW, expires_at=LATER)
            assert media is not None
            assert media.id == id
            return media.storage_key

        def send(data: bytes = data) -> str:
            return upload(catalog, data, now=NOW, expires_at=LATER).media.storage_key

        keys = at_once(
            *(partial(complete, id) for id in pending),
            *[send] * 4,
        )

        assert len(set(keys)) == 1
        assert catalog.counts()["contents"] == n + 1


def send(catalog: Catalog, number: int) -> Claimed:
    """Upload as the library does, whether the content is known or not."""
    key, content = new_key(), content_of(b"content %d" % number)
    claim = Claim("ann", NOW)
    known = catalog.claim_known(content, claim, expires_at=LATER)
    if known is not None:
        return known
    catalog.intend(key, due_at=LATER)
    return catalog.commit_upload(new_media_id(NOW), content, key, claim, expires_at=LATER)


def test_many_uploads_of_few_contents_at_once_have_one_first_each(catalog: Catalog) -> None:
    for n in range(ROUNDS // 2):
        claims = at_once(*(partial(send, catalog, n * 5 + each % 5) for each in range(15)))

        firsts = {each.media.sha256: each.media for each in claims if not each.deduped}
        assert len(firsts) == 5
        assert sum(not each.deduped for each in claims) == 5
        assert all(each.media == firsts[each.media.sha256] for each in claims)
        dropped = due(catalog, NOW)
        assert not {media.storage_key for media in firsts.values()} & set(dropped)
        catalog.forget_garbage(dropped)
    assert due(catalog, LATER) == []


def test_an_upload_whose_key_was_swept_fails_alone(catalog: Catalog) -> None:
    def commit(number: int, key: str) -> Claimed | None:
        try:
            return catalog.commit_upload(
                new_media_id(NOW),
                content_of(b"content %d" % number),
                key,
                Claim("ann", NOW),
                expires_at=LATER,
            )
        except IntentLapsed:
            return None

    for n in range(ROUNDS // 2):
        swept, *held = keys = [new_key() for _ in range(8)]
        catalog.intend(swept, due_at=NOW)
        assert due(catalog, NOW) == [swept]
        for key in held:
            catalog.intend(key, due_at=LATER)

        lapsed, *done = at_once(
            *(partial(commit, n * 8 + each, key) for each, key in enumerate(keys))
        )

        assert lapsed is None
        assert [each and each.media.storage_key for each in done] == held
        assert due(catalog, LATER - 1) == [swept]
        catalog.forget_garbage([swept])


# --- races of two


def test_a_claim_against_the_last_release(catalog: Catalog) -> None:
    for n in range(ROUNDS):
        content = content_of(b"content %d" % n)
        media = upload(catalog, b"content %d" % n, "ann", now=NOW, expires_at=LATER).media

        claimed, released = at_once(
            partial(catalog.claim_known, content, Claim("bob", NOW), expires_at=LATER),
            partial(catalog.release, media.id, "ann", now=NOW),
        )

        taken = due(catalog, NOW)
        if claimed is None:
            assert released is Released.GONE
            assert taken == [media.storage_key]
            assert catalog.get_many([media.id], now=NOW) == {}
        else:
            assert released is Released.SHARED
            assert taken == []
            assert catalog.get_many([media.id], now=NOW) == {media.id: media}
        catalog.forget_garbage(taken)


def test_a_claim_against_its_expiry(catalog: Catalog) -> None:
    for n in range(ROUNDS):
        content = content_of(b"content %d" % n)
        media = upload(catalog, b"content %d" % n, now=NOW, expires_at=NOW + 10).media

        # The claimant's clock is a little behind, so both are possible.
        claimed, expired = at_once(
            partial(catalog.claim_known, content, Claim("bob", NOW + 9), expires_at=LATER),
            partial(catalog.expire, now=NOW + 10, limit=10),
        )

        taken = due(catalog, NOW + 10)
        if claimed is None:
            assert expired == Expired(media=1, uploads=0, contents=1)
            assert taken == [media.storage_key]
        else:
            assert expired == Expired(media=0, uploads=0, contents=0)
            assert taken == []
            assert catalog.get_many([media.id], now=NOW + 10)
        catalog.forget_garbage(taken)


def test_a_commit_against_the_sweep_of_its_key(catalog: Catalog) -> None:
    for n in range(ROUNDS):
        key = new_key()
        data = b"content %d" % n
        catalog.intend(key, due_at=NOW)

        def commit(key: str = key, data: bytes = data) -> list[str]:
            try:
                catalog.commit_upload(
                    new_media_id(NOW), content_of(data), key, Claim("ann", NOW), expires_at=LATER
                )
            except IntentLapsed:
                return []
            return [key]

        committed, taken = at_once(commit, partial(due, catalog, NOW))

        assert committed + taken == [key]
        due(catalog, NOW)
        catalog.forget_garbage(taken)


def test_a_completion_against_the_release_of_its_id(catalog: Catalog) -> None:
    for n in range(ROUNDS):
        data = b"content %d" % n
        key = new_key()
        id = catalog.create_pending(
            new_media_id(NOW),
            "image/png",
            new_key("uploads"),
            Claim("ann", NOW),
            upload_until=LATER,
        ).id
        catalog.intend(key, due_at=LATER)

        at_once(
            partial(catalog.complete_pending, id, content_of(data), key, now=NOW, expires_at=LATER),
            partial(catalog.release, id, "ann", now=NOW),
        )

        assert catalog.get_many([id], now=NOW) == {}
        assert catalog.counts()["contents"] == 0
        assert due(catalog, NOW) == [key]
        catalog.forget_garbage([key])


def test_a_completion_against_a_rejection_and_the_end_of_its_time(catalog: Catalog) -> None:
    for n in range(ROUNDS):
        data = b"content %d" % n
        key = new_key()
        id = catalog.create_pending(
            new_media_id(NOW),
            "image/png",
            new_key("uploads"),
            Claim("ann", NOW),
            upload_until=NOW + 10,
        ).id
        catalog.intend(key, due_at=LATER)

        at_once(
            partial(
                catalog.complete_pending, id, content_of(data), key, now=NOW + 9, expires_at=LATER
            ),
            partial(catalog.reject_pending, id, "code", "message", now=NOW + 9),
            partial(catalog.expire, now=NOW + 10, limit=10),
        )

        found = catalog.get_many([id], now=NOW + 9).get(id)
        taken = due(catalog, NOW + 9)
        if found is not None and found.state is State.READY:
            assert taken == []
            catalog.release(id, "ann", now=NOW)
        else:
            assert taken == [key]
        assert catalog.counts()["contents"] == 0
        catalog.forget_garbage(due(catalog, LATER))


def test_a_lease_is_granted_to_one_of_many(catalog: Catalog) -> None:
    for n in range(ROUNDS // 4):
        name = f"lease {n}"
        granted = at_once(
            *(
                partial(catalog.lease, name, f"holder {holder}", now=NOW, until=LATER)
                for holder in range(8)
            )
        )
        assert granted.count(True) == 1


def test_concurrent_sweeps_do_not_stop_each_other(catalog: Catalog) -> None:
    for n in range(60):
        upload(catalog, b"content %d" % n, now=NOW, expires_at=NOW + 1)
        catalog.create_pending(
            new_media_id(NOW),
            "image/png",
            new_key("uploads"),
            Claim("ann", NOW),
            upload_until=NOW + 1,
        )

    def sweep() -> tuple[int, int]:
        media = uploads = 0
        while (done := catalog.expire(now=NOW + 1, limit=7)) != Expired(0, 0, 0):
            media += done.media
            uploads += done.uploads
            catalog.forget_garbage(catalog.take_garbage(now=NOW + 1, limit=5))
        return media, uploads

    swept = at_once(*[sweep] * 4)

    assert [sum(numbers) for numbers in zip(*swept, strict=True)] == [60, 60]


# --- everything at once


class World:
    """Clients, writers that die, and sweeps, on one catalog and a set that plays the bytes."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.lock = Lock()
        self.bytes: set[str] = set()
        self.ids: set[str] = set()
        self.clock = count(NOW)
        self.lapsed = 0

    def now(self) -> int:
        return next(self.clock)

    def act(self, chance: random.Random) -> None:
        action = chance.choices(
            [self.upload, self.claim, self.direct_upload, self.release, self.sweep],
            [6, 3, 3, 6, 2],
        )[0]
        action(chance)

    def upload(self, chance: random.Random) -> None:
        data, now = self._data(chance), self.now()
        key = self._write(now, chance)
        if key is None:
            return
        id = new_media_id(now)
        try:
            claimed = self.catalog.commit_upload(
                id,
                content_of(data),
                key,
                Claim(self._owner(chance), now),
                expires_at=self._end(chance),
            )
        except IntentLapsed:
            self.lapsed += 1
            return
        assert claimed.deduped == (claimed.media.id != id)
        self._know(claimed.media.id)

    def claim(self, chance: random.Random) -> None:
        self.catalog.claim_known(
            content_of(self._data(chance)),
            Claim(self._owner(chance), self.now()),
            expires_at=self._end(chance),
        )

    def direct_upload(self, chance: random.Random) -> None:
        now = self.now()
        id, upload_key = new_media_id(now), new_key("uploads")
        with self.lock:
            self.bytes.add(upload_key)
        self.catalog.create_pending(
            id, "image/png", upload_key, Claim(self._owner(chance), now), upload_until=now + 40
        )
        self._know(id)
        if chance.random() < 0.2:
            self.catalog.reject_pending(id, "code", "message", now=self.now())
        key = self._write(now, chance)
        if key is None:
            return
        try:
            self.catalog.complete_pending(
                id,
                content_of(self._data(chance)),
                key,
                now=self.now(),
                expires_at=self._end(chance),
            )
        except IntentLapsed:
            self.lapsed += 1

    def release(self, chance: random.Random) -> None:
        with self.lock:
            ids = sorted(self.ids)[-12:]
        if ids:
            self.catalog.release(chance.choice(ids), self._owner(chance), now=self.now())

    def sweep(self, chance: random.Random) -> None:
        now = self.now()
        self.catalog.expire(now=now, limit=chance.choice([1, 5]))
        self._delete(self.catalog.take_garbage(now=now, limit=10), forget=chance.random() < 0.8)

    def sweep_to_the_end(self, now: int) -> None:
        while self.catalog.expire(now=now, limit=50) != Expired(0, 0, 0):
            pass
        while keys := self.catalog.take_garbage(now=now, limit=50):
            self._delete(keys)

    def _write(self, now: int, chance: random.Random) -> str | None:
        """Write bytes under an intended key; None if the writer died on the way.

        Writers that live may be overtaken by a sweep. Those that die are not: that the hold
        outlasts the write is what `Catalog.intend` asks of its caller.
        """
        key = new_key()
        dies = chance.random() < 0.2
        self.catalog.intend(key, due_at=now + (100_000 if dies else chance.choice([0, 40])))
        if dies and chance.random() < 0.5:
            return None
        if chance.random() < 0.3:
            self.sweep(chance)  # a slow writer: a sweep comes between, of this thread or another
        with self.lock:
            self.bytes.add(key)
        return None if dies else key

    def _delete(self, keys: Sequence[str], *, forget: bool = True) -> None:
        with self.lock:
            self.bytes.difference_update(keys)
        if forget:
            self.catalog.forget_garbage(keys)

    def _know(self, id: str) -> None:
        with self.lock:
            self.ids.add(id)

    def _data(self, chance: random.Random) -> bytes:
        return b"content %d" % chance.randrange(20)

    def _owner(self, chance: random.Random) -> str:
        return chance.choice(["ann", "bob"])

    def _end(self, chance: random.Random) -> int:
        """Of retention: soon for some, far away for others."""
        return self.now() + chance.choice([30, 30, 30, 30 * DAY])


def test_in_a_storm_every_answered_id_keeps_its_bytes_and_nothing_else_stays(
    catalog: Catalog,
) -> None:
    world = World(catalog)

    def run(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(120):
            world.act(chance)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(run, range(8)))
    end = world.now() + DAY
    world.sweep_to_the_end(end)

    answered = catalog.get_many(sorted(world.ids), now=end).values()
    assert {media.state for media in answered} <= {State.READY}
    assert {media.storage_key for media in answered} == world.bytes
    by_content = {media.sha256: media.storage_key for media in answered}
    assert len(by_content) == len(world.bytes), "a content is stored twice"
    counts = catalog.counts()
    assert (counts["contents"], counts["media"]) == (len(world.bytes), len(answered))
    assert (counts["pending"], counts["garbage"]) == (0, 0)
    assert world.lapsed > 0, "the storm never had a sweep overtake a writer"


# --- several processes


def upload_many(url: str, process: int) -> list[tuple[bytes, str, bool]]:
    """Eight threads of one process upload the same contents as those of every other."""
    with open_migrated(url) as catalog:

        def run(thread: int) -> list[tuple[bytes, str, bool]]:
            outcomes = []
            for n in range(25):
                data = b"content %d" % n
                claimed = upload(catalog, data, f"{process}/{thread}", now=NOW, expires_at=LATER)
                outcomes.append((data, claimed.media.id, claimed.deduped))
            return outcomes

        with ThreadPoolExecutor(8) as threads:
            return [outcome for some in threads.map(run, range(8)) for outcome in some]


def test_processes_agree_on_one_id_per_content_and_none_is_kept_waiting(
    catalog_url: str,
) -> None:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes:
        first, second = processes.map(upload_many, [catalog_url] * 2, [1, 2])

    outcomes = first + second
    assert len(outcomes) == 2 * 8 * 25
    assert len({(data, id) for data, id, _ in outcomes}) == 25
    firsts = [data for data, _, deduped in outcomes if not deduped]
    assert sorted(firsts) == sorted({data for data, _, _ in outcomes})
