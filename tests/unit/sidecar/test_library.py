"""The library over a real SQLite catalog and a real local storage, with a clock to move."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from jan_media.catalog.interface import State
from jan_media.catalog.sqlite import SqliteCatalog
from jan_media.content.allowed_types import AllowedTypes
from jan_media.errors import Refused
from jan_media.library.direct_upload import complete, prepare
from jan_media.library.ingest import store
from jan_media.library.library import Library, Rules
from jan_media.library.resolve import Resolved
from jan_media.library.spool import Spool
from jan_media.library.sweep import give_up, rehearse, sweep
from jan_media.storage.interface import StorageUnavailable
from jan_media.storage.local import LocalStorage

from tests.invariant.interrupted import InterruptedStorage
from tests.support.pictures import picture
from tests.support.storages import keys_of

MINUTE = 60_000
DAY = 24 * 60 * MINUTE


class Clock:
    """Unix milliseconds, moved by the test."""

    def __init__(self) -> None:
        self.now = 1_766_484_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def library(tmp_path: Path, clock: Clock) -> Iterator[Library]:
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    catalog.migrate()
    yield Library(
        catalog=catalog,
        storage=LocalStorage(tmp_path / "objects", public_url="http://media", secret=b"s" * 32),
        rules=Rules(
            allowed_types=AllowedTypes("image/png,image/jpeg"),
            max_bytes=100_000,
            max_pixels=1_000_000,
            retention_ms=30 * DAY,
            hold_ms=60 * MINUTE,
            download_ttl=300,
            upload_ttl=900,
        ),
        spool_dir=tmp_path,
        clock=clock,
    )
    catalog.close()


def upload(library: Library, data: bytes, owner: str = "ann") -> tuple[str, bool]:
    with Spool(library.spool_dir, max_bytes=library.rules.max_bytes) as spool:
        spool.write(data)
        claimed = store(library, spool, owner)
    return claimed.media.id, claimed.deduped


def resolved(library: Library, media_id: str) -> Resolved:
    resolved = Resolved()
    for media in library.look_up([media_id]).values():
        resolved.settle(library, media)
    return resolved


def stored(library: Library, media_id: str) -> bytes:
    media = resolved(library, media_id).require(media_id).media
    with library.storage.read(media.storage_key) as pieces:
        return b"".join(pieces)


def direct(library: Library, data: bytes) -> str:
    """Prepare a direct upload and write what the client would."""
    prepared = prepare(library, "image/png", "ann")
    write(library, prepared.media.storage_key, data)
    return prepared.media.id


def write(library: Library, key: str, data: bytes) -> None:
    with Spool(library.spool_dir, max_bytes=10**9) as spool:
        spool.write(data)
        library.storage.put(key, spool.from_start(), mime="image/png")


def completed(library: Library, media_id: str) -> State | None:
    settled = complete(library, resolved(library, media_id).unready[media_id])
    return settled.media.state if settled else None


# --- upload


def test_an_upload_is_stored_with_its_type_and_hash(library: Library) -> None:
    data = picture()
    media_id, deduped = upload(library, data)
    media = resolved(library, media_id).require(media_id).media
    assert (media.mime, media.bytes, deduped) == ("image/png", len(data), False)
    assert media.sha256 == hashlib.sha256(data).hexdigest()
    assert stored(library, media_id) == data


def test_the_same_content_has_one_id_and_one_object_whoever_uploads_it(library: Library) -> None:
    data = picture()
    first, _ = upload(library, data, "ann")
    assert upload(library, data, "bob") == (first, True)
    assert len(keys_of(library.storage)) == 1


def test_uploading_again_renews_the_retention(library: Library, clock: Clock) -> None:
    data = picture()
    media_id, _ = upload(library, data)
    clock.now += 29 * DAY
    upload(library, data)
    clock.now += 29 * DAY
    assert resolved(library, media_id).require(media_id)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"hello, this is no image", "invalid_media"),
        (picture("GIF"), "unsupported_media_type"),
        (picture()[:-60], "invalid_media"),
        (picture(size=(2000, 600)), "too_many_pixels"),
    ],
    ids=["empty", "text", "another type", "cut off", "too many pixels"],
)
def test_what_is_not_allowed_media_is_refused_and_leaves_nothing(
    library: Library, data: bytes, code: str
) -> None:
    with pytest.raises(Refused) as refused:
        upload(library, data)
    assert refused.value.code == code
    assert keys_of(library.storage) == []
    assert library.catalog.counts()["garbage"] == 0


def test_links_name_their_end(library: Library, clock: Clock) -> None:
    media_id, _ = upload(library, picture())
    found = resolved(library, media_id).require(media_id)
    assert found.url.startswith("http://media/files/content/")
    assert (found.ttl, found.expires_at) == (300, clock.now + 300_000)


# --- direct upload


def test_a_direct_upload_is_pending_until_its_bytes_are_there(library: Library) -> None:
    media_id = prepare(library, "image/png", "ann").media.id
    assert completed(library, media_id) is State.PENDING
    with pytest.raises(Refused) as refused:
        resolved(library, media_id).require(media_id)
    assert refused.value.code == "upload_pending"
    assert library.catalog.counts()["garbage"] == 1  # the upload key alone, however often asked


def test_a_direct_upload_keeps_its_promised_id(library: Library) -> None:
    data = picture()
    media_id = direct(library, data)
    assert completed(library, media_id) is State.READY
    assert stored(library, media_id) == data


def test_a_completed_upload_cannot_be_changed_through_its_upload_key(library: Library) -> None:
    data = picture()
    prepared = prepare(library, "image/png", "ann")
    write(library, prepared.media.storage_key, data)
    completed(library, prepared.media.id)
    write(library, prepared.media.storage_key, picture())
    assert stored(library, prepared.media.id) == data


def test_a_direct_upload_of_known_content_shares_its_bytes(library: Library) -> None:
    data = picture()
    first, _ = upload(library, data)
    twin = direct(library, data)
    completed(library, twin)
    assert stored(library, twin) == data
    assert twin != first
    assert len(keys_of(library.storage)) == 1


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"no image", "invalid_media"),
        (picture("GIF"), "unsupported_media_type"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100_000), "max_size_exceeded"),
    ],
    ids=["text", "another type", "too large"],
)
def test_a_wrong_direct_upload_is_removed_and_its_id_says_why(
    library: Library, data: bytes, code: str
) -> None:
    media_id = direct(library, data)
    assert completed(library, media_id) is State.REJECTED
    with pytest.raises(Refused) as refused:
        resolved(library, media_id).require(media_id)
    assert refused.value.code == code
    assert keys_of(library.storage) == []


def test_a_type_that_is_not_allowed_is_not_promised(library: Library) -> None:
    with pytest.raises(Refused) as refused:
        prepare(library, "text/html", "ann")
    assert refused.value.code == "unsupported_media_type"


def test_an_id_that_is_never_uploaded_is_gone_when_its_time_is_over(
    library: Library, clock: Clock
) -> None:
    media_id = prepare(library, "image/png", "ann").media.id
    clock.now += 899_999
    assert completed(library, media_id) is State.PENDING
    clock.now += 1
    assert completed(library, media_id) is None
    clock.now += library.rules.hold_ms
    rehearsed = rehearse(library)
    swept = sweep(library, "me")
    assert swept == rehearsed
    assert swept is not None
    assert swept.stale_uploads == 1
    assert library.catalog.counts()["pending"] == 0


@pytest.mark.parametrize("swept", [False, True])
def test_what_was_uploaded_in_time_is_kept_however_late_it_is_used(
    library: Library, clock: Clock, swept: bool
) -> None:
    data = picture()
    media_id = direct(library, data)
    clock.now += 5 * DAY
    if swept:
        rehearsed = rehearse(library)
        done = sweep(library, "me")
        assert rehearsed.stale_uploads == 0
        assert done is not None
        assert done.stale_uploads == 0
    else:
        assert completed(library, media_id) is State.READY
    assert stored(library, media_id) == data


def test_deleting_something_else_spares_an_upload_that_waits_for_its_first_use(
    library: Library, clock: Clock
) -> None:
    media_id = direct(library, picture())
    clock.now += 5 * DAY
    other, _ = upload(library, picture())
    give_up(library, other, "ann")
    assert completed(library, media_id) is State.READY


def test_an_upload_that_ends_after_its_time_is_swept(library: Library, clock: Clock) -> None:
    prepared = prepare(library, "image/png", "ann")
    clock.now += 901_000
    sweep(library, "me")
    write(library, prepared.media.storage_key, picture())  # began before the policy ended
    clock.now += library.rules.hold_ms
    sweep(library, "me")
    assert stored(library, prepared.media.id)
    assert keys_of(library.storage, "images/") == []


def test_a_first_use_sees_what_another_has_settled_meanwhile(library: Library) -> None:
    data = picture()
    media_id = direct(library, data)
    seen_earlier = resolved(library, media_id).unready[media_id]
    completed(library, media_id)
    settled = complete(library, seen_earlier)
    assert settled is not None
    assert settled.media.state is State.READY


def test_a_first_use_begins_again_when_a_sweep_has_taken_what_it_looks_at(
    library: Library,
) -> None:
    data = picture()
    media_id = direct(library, data)
    storage = InterruptedStorage(library.storage)
    interrupted = replace(library, storage=storage)

    def sweep_it() -> None:
        sweep(library, "me", ahead_ms=library.rules.hold_ms)

    with storage.interrupted("after copy", sweep_it):
        settled = completed(interrupted, media_id)

    assert settled is State.READY
    assert stored(library, media_id) == data


# --- the end of life


def test_the_bytes_go_with_the_last_owner(library: Library) -> None:
    data = picture()
    media_id, _ = upload(library, data, "ann")
    upload(library, data, "bob")
    give_up(library, media_id, "ann")
    assert stored(library, media_id) == data
    give_up(library, media_id, "bob")
    assert resolved(library, media_id).found == {}
    assert keys_of(library.storage) == []


def test_only_an_owner_can_delete(library: Library) -> None:
    media_id, _ = upload(library, picture(), "ann")
    with pytest.raises(Refused) as refused:
        give_up(library, media_id, "bob")
    assert refused.value.code == "not_owner"


def test_pages_go_from_new_to_old_without_gaps(library: Library, clock: Clock) -> None:
    ids = []
    for _ in range(5):
        clock.now += 1
        ids.append(upload(library, picture())[0])
    upload(library, picture(), "bob")
    seen: list[str] = []
    after, more = None, True
    while more:
        part = library.catalog.list_owned("ann", now=clock.now, limit=2, after=after)
        seen += [item.media.id for item in part.items]
        after, more = part.items[-1].position, part.more
    assert seen == ids[::-1]


def test_a_sweep_removes_what_expired_and_says_so_in_numbers(
    library: Library, clock: Clock
) -> None:
    kept_until_later, _ = upload(library, picture())
    clock.now += 20 * DAY
    fresh, _ = upload(library, picture())
    clock.now += 11 * DAY
    assert resolved(library, kept_until_later).found == {}
    rehearsed = rehearse(library)
    swept = sweep(library, "me")
    assert swept == rehearsed
    assert swept is not None
    assert (swept.expired_media, swept.unreferenced_contents, swept.deleted_objects) == (1, 1, 1)
    assert stored(library, fresh)
    assert len(keys_of(library.storage)) == 1


def test_a_rehearsal_changes_nothing(library: Library, clock: Clock) -> None:
    upload(library, picture())
    clock.now += 31 * DAY
    rehearse(library)
    assert len(keys_of(library.storage)) == 1


def test_one_sweep_runs_at_a_time(library: Library, clock: Clock) -> None:
    assert library.catalog.lease("sweep", "other", now=clock.now, until=clock.now + MINUTE)
    assert sweep(library, "me") is None
    clock.now += MINUTE
    assert sweep(library, "me") is not None
    assert sweep(library, "third") is not None  # the lease was given back


def test_what_a_crash_left_goes_after_the_grace_or_when_it_is_asked_for(
    library: Library, clock: Clock
) -> None:
    library.catalog.intend("content/ab/left", due_at=clock.now + library.rules.hold_ms)
    write(library, "content/ab/left", b"half an upload")
    pending = direct(library, picture())
    sweep(library, "me")
    assert "content/ab/left" in keys_of(library.storage)
    sweep(library, "me", ahead_ms=library.rules.hold_ms)
    assert "content/ab/left" not in keys_of(library.storage)
    assert completed(library, pending) is State.READY  # a waiting upload is spared


def test_a_sweep_stops_at_a_deletion_that_fails_and_lets_the_next_one_begin(
    library: Library, clock: Clock, tmp_path: Path
) -> None:
    upload(library, picture())
    clock.now += 31 * DAY
    (tmp_path / "objects").rename(tmp_path / "away")
    with pytest.raises(StorageUnavailable):
        sweep(library, "me")
    (tmp_path / "away").rename(tmp_path / "objects")
    swept = sweep(library, "another")
    assert swept is not None
    assert swept.deleted_objects == 1
    assert keys_of(library.storage) == []


def test_a_deletion_stands_though_its_bytes_cannot_go_yet(library: Library, tmp_path: Path) -> None:
    media_id, _ = upload(library, picture())
    (tmp_path / "objects").rename(tmp_path / "away")
    give_up(library, media_id, "ann")
    assert resolved(library, media_id).found == {}
    (tmp_path / "away").rename(tmp_path / "objects")
    sweep(library, "me")
    assert keys_of(library.storage) == []
