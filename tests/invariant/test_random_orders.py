"""The storage invariant in any order of operations, interrupted by other operations and by crashes.

Hypothesis chooses what happens next: uploads, direct uploads through the storage's own forms and
URLs, first uses, deletions, sweeps, and a clock that only it moves. Any step may be interrupted
in the middle of its storage calls, by other steps or by its process's death. A model of
dictionaries says what each has to answer, and after every sweep what has to be stored.
"""

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import httpx
import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from jan_media.catalog.catalog import Catalog
from jan_media.catalog.interface import Media
from jan_media.content.allowed_types import AllowedTypes
from jan_media.errors import ContentTooLarge, Refused
from jan_media.library.direct_upload import Prepared, complete, prepare
from jan_media.library.ingest import store
from jan_media.library.library import Library, Rules, fresh_content_key, is_upload_key, upload_key
from jan_media.library.resolve import Resolved, link
from jan_media.library.spool import Spool
from jan_media.library.sweep import give_up, rehearse, sweep
from jan_media.storage.interface import Storage

from tests.invariant import amounts
from tests.invariant.interrupted import InterruptedStorage, Killed
from tests.invariant.model import DAY, HOLD, MINUTE, RETENTION, UPLOAD_TTL, Model
from tests.support.pictures import picture
from tests.support.storages import keys_of

MAX_BYTES = 20_000
HOLDER = "the only one"
OWNERS = ["ann", "bob", "cem"]
CONTENTS = {
    "red": picture(),
    "green": picture(),
    "blue": picture("JPEG"),
    "a text": b"<html>no image</html>",
    "a gif": picture("GIF"),
    "cut off": picture()[:-60],
    "large": picture("PNG") + bytes(MAX_BYTES),
}
BAD = {
    "a text": "invalid_media",
    "a gif": "unsupported_media_type",
    "cut off": "invalid_media",
    "large": "max_size_exceeded",
}
GOOD = sorted(CONTENTS.keys() - BAD.keys())


@dataclass
class World:
    """The backends, which all orders of a run share, one after another."""

    catalog: Catalog
    storage: Storage
    spool_dir: Path
    now: int = 1_800_000_000_000


owners = st.sampled_from(OWNERS)
contents = st.sampled_from(sorted(CONTENTS))
mostly_good = st.one_of(st.sampled_from(GOOD), st.sampled_from(GOOD), contents)
numbers = st.integers(0, 30)  # of an id, counted from the newest
times = st.sampled_from([MINUTE, UPLOAD_TTL, HOLD, DAY, RETENTION - DAY, RETENTION])
aheads = st.sampled_from([0, HOLD])

Step = Callable[["Life"], None]


def uploading(content: str, owner: str) -> Step:
    return lambda life: life.upload(content, owner)


def using(number: int) -> Step:
    return lambda life: life.use(number)


def sending(number: int, content: str) -> Step:
    return lambda life: life.send(number, content, by_form=False)


def deleting(number: int, owner: str) -> Step:
    return lambda life: life.delete(number, owner)


def sweeping(ahead: int) -> Step:
    return lambda life: life.sweep(ahead)


def half_sweeping(ahead: int) -> Step:
    return lambda life: life.sweep_half(ahead)


def moving(time: int) -> Step:
    return lambda life: life.move_clock(time)


def dying(life: "Life") -> None:
    raise Killed


other_steps = st.one_of(
    st.builds(uploading, st.sampled_from(GOOD), owners),
    st.builds(using, st.integers(0, 3)),
    st.builds(sending, st.integers(0, 3), contents),
    st.builds(deleting, st.integers(0, 3), owners),
    st.builds(sweeping, aheads),
    st.builds(half_sweeping, aheads),
    st.builds(moving, times),
)
in_between = st.lists(other_steps, min_size=1, max_size=3)
deaths = st.just([dying])
overtaking = st.builds(lambda step: [step], st.sampled_from([sweeping(HOLD), half_sweeping(HOLD)]))


class Life:
    """Does each step for real and in the model, and compares the answers."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.storage = InterruptedStorage(world.storage)
        self.library = Library(
            catalog=world.catalog,
            storage=self.storage,
            rules=Rules(
                allowed_types=AllowedTypes("image/png,image/jpeg"),
                max_bytes=MAX_BYTES,
                max_pixels=1_000_000,
                retention_ms=RETENTION,
                hold_ms=HOLD,
                download_ttl=300,
                upload_ttl=UPLOAD_TTL // 1000,
            ),
            spool_dir=world.spool_dir,
            clock=lambda: world.now,
        )
        self.model = Model(BAD, self.library.rules.kept_until)
        self.ids: list[str] = []  # every id that there ever was
        self.prepared: dict[str, Prepared] = {}

    @property
    def now(self) -> int:
        return self.world.now

    def interrupted(self, moment: str, steps: list[Step]) -> "nullcontext[None]":
        def act() -> None:
            for step in steps:
                step(self)

        return self.storage.interrupted(moment, act)  # type: ignore[return-value]

    # --- steps

    def upload(self, content: str, owner: str, moment: str = "", steps: list[Step] = []) -> None:  # noqa: B006
        known = self.model.live(content, self.now)
        died = False
        with Spool(self.world.spool_dir, max_bytes=MAX_BYTES) as spool:
            if content == "large":
                with pytest.raises(ContentTooLarge):
                    spool.write(CONTENTS[content])
                return
            spool.write(CONTENTS[content])
            if content in BAD:
                with pytest.raises(Refused) as refused:
                    store(self.library, spool, owner)
                assert refused.value.code == BAD[content]
                return
            try:
                with self.interrupted(moment, steps):
                    claimed = store(self.library, spool, owner)
            except Killed:
                died = True
        live = known or self.model.live(content, self.now)
        if died:
            self._died_uploading(moment, live, owner)
            return
        assert claimed.deduped == (live is not None)
        if live is None:
            assert claimed.media.id not in self.ids
            self.ids.append(claimed.media.id)
            self.model.add(claimed.media.id, content, owner, self.now)
        else:
            assert claimed.media.id == live
            self.model.claim(live, owner, self.now)
        assert claimed.media.expires_at == self.model.items[claimed.media.id].expires_at

    def _died_uploading(self, moment: str, live: str | None, owner: str) -> None:
        if moment == "before delete":  # of bytes that lost their race: the claim stands
            assert live is not None
            self.model.claim(live, owner, self.now)
            self.model.orphans[self.storage.written] = self.now
        elif moment == "after put":
            self.model.orphans[self.storage.written] = self.now + HOLD

    def promise(self, owner: str, mime: str = "image/png") -> None:
        prepared = prepare(self.library, mime, owner)
        self.ids.append(prepared.media.id)
        self.prepared[prepared.media.id] = prepared
        self.model.promise(prepared.media.id, prepared.media.storage_key, owner, self.now)

    def send(self, number: int, content: str, *, by_form: bool) -> None:
        """Write the bytes as a client does, also again, also after the id was used."""
        if not self.prepared:
            return
        prepared = list(self.prepared.values())[-1 - number % len(self.prepared)]
        key, data = prepared.media.storage_key, CONTENTS[content]
        if self.model.upload_until[key] <= self.now:
            return  # the storage goes by its own clock, which has not moved
        if by_form:
            answer = httpx.post(
                prepared.post.url, data=prepared.post.fields, files={"file": ("photo", data)}
            )
            if content == "large":
                assert answer.status_code in (400, 413)
                return
        else:
            answer = httpx.put(
                prepared.put, content=data, headers={"Content-Type": prepared.media.mime}
            )
        assert answer.status_code in (200, 204), answer.text
        self.model.uploads[key] = content

    def use(self, number: int, moment: str = "", steps: list[Step] = []) -> None:  # noqa: B006
        """First use of a direct upload, or any use of any id."""
        if not self.ids:
            return
        id = self.ids[-1 - number % len(self.ids)]
        key = upload_key(id)
        resolved = self.resolve(id)
        if id not in resolved.unready or self.model.items[id].state != "pending":
            self.check(id)
            return
        snapshot = self.model.uploads.get(key, "")
        too_large = snapshot == "large"

        def seen(source: str) -> None:
            nonlocal snapshot
            if source == key:
                snapshot = self.model.uploads[key]

        before = moment == "before size"
        if before:
            for step in steps:
                step(self)
            moment, snapshot = "", self.model.uploads.get(key, "")
            too_large = snapshot == "large"
        outer, self.storage.seen = self.storage.seen, seen
        died = False
        try:
            with self.interrupted(moment, steps):
                complete(self.library, resolved.unready[id])
        except Killed:
            died = True
        finally:
            self.storage.seen = outer
        if not snapshot or (died and moment == "before copy"):
            self.check(id)
            return
        copied = not too_large
        if died and (moment == "after copy" or (copied and snapshot in BAD)):
            self.model.orphans[self.storage.written] = self.now + HOLD
            return
        item = self.model.items.get(id)
        twin = copied and snapshot in self.model.contents()
        if item is not None and item.state == "pending":
            self.model.settle(id, snapshot, self.now)
        elif died and copied:
            twin = True
        if died:
            if twin:
                self.model.orphans[self.storage.written] = self.now
        elif snapshot in BAD or (item is not None and item.state == "ready"):
            self.model.uploads.pop(key, None)
        self.check(id)

    def delete(self, number: int, owner: str) -> None:
        if not self.ids:
            return
        id = self.ids[-1 - number % len(self.ids)]
        expected = self.model.give_up(id, owner, self.now)
        try:
            give_up(self.library, id, owner)
            code = ""
        except Refused as refused:
            code = refused.code
        assert code == expected

    def die_writing(self, content: str, *, with_bytes: bool) -> None:
        """A process that died between its steps."""
        key = fresh_content_key()
        self.library.catalog.intend(key, due_at=self.now + HOLD)
        if with_bytes:
            with Spool(self.world.spool_dir, max_bytes=10**9) as spool:
                spool.write(CONTENTS[content])
                self.storage.put(key, spool.from_start(), mime="image/png")
            self.model.orphans[key] = self.now + HOLD

    def sweep(self, ahead: int) -> None:
        swept = sweep(self.library, HOLDER, ahead_ms=ahead)
        expected = self.model.sweep(self.now, ahead)
        assert swept is not None
        assert (swept.expired_media, swept.stale_uploads, swept.unreferenced_contents) == (
            expected.media,
            expected.uploads,
            expected.contents,
        )

    def sweep_half(self, ahead: int) -> None:
        """A sweep that dies after it has deleted and before it has forgotten."""
        taken = self.library.catalog.take_garbage(now=self.now + ahead, limit=500)
        self.world.storage.delete([key for key in taken if not is_upload_key(key)])
        self.model.sweep_half(self.now + ahead)

    def sweep_and_die(self, ahead: int) -> None:
        """A sweep that dies at its first deletion, and the next one."""
        before = rehearse(self.library, ahead_ms=ahead)
        uploads, copied = dict(self.model.uploads), ""

        def seen(source: str) -> None:
            nonlocal copied
            copied = source

        outer, self.storage.seen = self.storage.seen, seen
        died = False
        try:
            with self.interrupted("before delete", [dying]):
                sweep(self.library, HOLDER, ahead_ms=ahead)
        except Killed:
            died = True
        finally:
            self.storage.seen = outer
        assert died or before.deleted_objects == 0
        key = self.storage.deleting[0] if died else ""
        if key == self.storage.written:  # the copy of an upload that was looked at before it went
            key = copied
            if uploads.get(copied) in BAD:
                self.model.orphans[self.storage.written] = self.now + HOLD
                key = ""  # the id is still pending: the next sweep looks again
        self.model.sweep(self.now, ahead)
        if key in uploads and self.model.upload_due[key] > self.now + ahead:
            self.model.uploads[key] = uploads[key]  # its id is settled, so nobody looks again
        sweep(self.library, HOLDER, ahead_ms=ahead)

    def move_clock(self, time: int) -> None:
        self.world.now += time

    # --- what has to be true

    def resolve(self, id: str) -> Resolved:
        resolved = Resolved()
        for media in self.library.look_up([id]).values():
            resolved.settle(self.library, media)
        return resolved

    def check(self, id: str) -> Media | None:
        """An id answers what the model says, with its bytes."""
        item = self.model.items.get(id)
        if item and item.state == "pending" and upload_key(id) in self.model.uploads:
            return None  # to be settled by its first use, which this is not
        expected = self.model.answer(id, self.now)
        resolved = self.resolve(id)
        if id in resolved.unready:
            settled = complete(self.library, resolved.unready.pop(id))
            if settled is not None:
                resolved.settle(self.library, settled.media)
        if expected not in CONTENTS:
            with pytest.raises(Refused) as refused:
                resolved.require(id)
            assert refused.value.code == expected
            return None
        found = resolved.require(id).media
        assert hashlib.sha256(CONTENTS[expected]).hexdigest() == found.sha256
        with self.library.storage.read(found.storage_key) as pieces:
            assert b"".join(pieces) == CONTENTS[expected]
        return found

    def check_everything(self) -> None:
        """After a sweep: every id that answers has its bytes, and nothing else is stored."""
        found = [media for media in map(self.check, self.ids) if media is not None]
        keys = {media.sha256: media.storage_key for media in found}
        assert len({media.storage_key for media in found}) == len(keys), "a content is there twice"
        stored = set(keys_of(self.world.storage))
        expected = set(keys.values()) | self.model.orphans.keys() | self.model.uploads.keys()
        assert stored == expected

    def clean(self) -> None:
        """Remove what an order that failed has left."""
        for _ in range(2):
            self.world.now += 100 * DAY
            sweep(self.library, HOLDER)
        self.world.storage.delete(keys_of(self.world.storage))

    def end(self) -> None:
        """When all retention is over nothing is left, anywhere."""
        for _ in range(2):  # an upload that nobody has used is settled first
            self.world.now += 100 * DAY
            self.sweep(0)
            self.check_everything()
        assert keys_of(self.world.storage) == []
        assert set(self.world.catalog.counts().values()) == {0}


def orders_on(world: World) -> type[RuleBasedStateMachine]:
    """The steps that hypothesis may choose from, on these backends."""

    class Orders(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.life = Life(world)
            self.life.clean()

        @rule(content=mostly_good, owner=owners)
        def upload(self, content: str, owner: str) -> None:
            self.life.upload(content, owner)

        @rule(
            content=st.sampled_from(GOOD),
            owner=owners,
            moment=st.sampled_from(["before put", "after put"]),
            steps=st.one_of(in_between, overtaking, deaths),
        )
        def upload_interrupted(
            self, content: str, owner: str, moment: str, steps: list[Step]
        ) -> None:
            self.life.upload(content, owner, moment, steps)

        @rule(owner=owners)
        def prepare(self, owner: str) -> None:
            self.life.promise(owner)

        @rule(owner=owners, content=mostly_good, by_form=st.booleans())
        def direct_upload(self, owner: str, content: str, by_form: bool) -> None:
            self.life.promise(owner)
            self.life.send(0, content, by_form=by_form)

        @rule(number=numbers, content=contents, by_form=st.booleans())
        def send_again(self, number: int, content: str, by_form: bool) -> None:
            self.life.send(number, content, by_form=by_form)

        @rule(number=numbers)
        def use(self, number: int) -> None:
            self.life.use(number)

        @rule(
            owner=owners,
            content=mostly_good,
            moment=st.sampled_from(["before size", "before copy", "after copy"]),
            steps=st.one_of(in_between, overtaking),
        )
        def first_use_interrupted(
            self, owner: str, content: str, moment: str, steps: list[Step]
        ) -> None:
            self.life.promise(owner)
            self.life.send(0, content, by_form=False)
            self.life.use(0, moment, steps)

        @rule(
            owner=owners,
            content=mostly_good,
            moment=st.sampled_from(["before copy", "after copy", "before delete"]),
        )
        def die_in_a_first_use(self, owner: str, content: str, moment: str) -> None:
            self.life.promise(owner)
            self.life.send(0, content, by_form=False)
            self.life.use(0, moment, [dying])

        @rule(number=numbers, owner=owners)
        def delete(self, number: int, owner: str) -> None:
            self.life.delete(number, owner)

        @rule(content=st.sampled_from(GOOD), with_bytes=st.booleans())
        def die_writing(self, content: str, with_bytes: bool) -> None:
            self.life.die_writing(content, with_bytes=with_bytes)

        @rule(time=times)
        def move_clock(self, time: int) -> None:
            self.life.move_clock(time)

        @rule(ahead=aheads)
        def sweep(self, ahead: int) -> None:
            self.life.sweep(ahead)
            self.life.check_everything()

        @rule(ahead=aheads)
        def die_in_a_sweep(self, ahead: int) -> None:
            self.life.sweep_and_die(ahead)
            self.life.check_everything()

        @rule(number=numbers)
        def download(self, number: int) -> None:
            found = (
                self.life.check(self.life.ids[-1 - number % len(self.life.ids)])
                if (self.life.ids)
                else None
            )
            if found is not None:
                url = link(self.life.library, found).url
                assert hashlib.sha256(httpx.get(url).content).hexdigest() == found.sha256

        def teardown(self) -> None:
            self.life.end()

    return Orders


@pytest.mark.timeout(amounts.LONGEST)
def test_in_any_order_ids_keep_their_bytes_and_sweeps_leave_nothing_else(
    catalog_and_storage: tuple[Catalog, Storage], tmp_path: Path
) -> None:
    catalog, storage = catalog_and_storage
    run_state_machine_as_test(
        orders_on(World(catalog, storage, tmp_path)),
        settings=hypothesis.settings(
            max_examples=amounts.ORDERS,
            stateful_step_count=40,
            deadline=None,
            derandomize=not amounts.RANDOM,
            database=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
