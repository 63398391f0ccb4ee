"""Copying ids from one catalog to another, between all kinds of catalogs."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from jan_media.catalog.catalog import Catalog
from jan_media.catalog.interface import (
    Claim,
    IntentLapsed,
    Media,
    Released,
    State,
)
from jan_media.catalog.migrations import newest_version
from jan_media.catalog.open import open_catalog
from jan_media.catalog.transfer import Record
from jan_media.media_id import new_media_id

from tests.support.catalogs import content_of, new_key, open_migrated, upload

NOW = 1_800_000_000_000
HOUR = 3_600_000
LATER = NOW + 30 * 24 * HOUR


@pytest.fixture(params=["sqlite", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    """A second catalog, of each kind in turn."""
    url = f"sqlite:///{tmp_path}/target.db"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_server").new_database()
    with open_migrated(url) as opened:
        yield opened


def record_of(catalog: Catalog, id: str, now: int = NOW) -> Record:
    return catalog.records([id], now=now)[id]


def promise(catalog: Catalog, id: str) -> Media:
    return catalog.create_pending(
        id,
        "image/png",
        new_key(),
        Claim("ann", NOW),
        upload_until=NOW + HOUR,
    )


def carry(source: Catalog, target: Catalog, id: str) -> str:
    """Take one ready id in with bytes under a fresh key; the key."""
    key = new_key()
    target.intend(key, due_at=NOW + HOUR)
    assert target.take_in_ready(record_of(source, id), storage_key=key, now=NOW)
    return key


def test_the_schema_version_is_that_of_the_code_or_0(catalog: Catalog, tmp_path: Path) -> None:
    assert catalog.schema_version() == newest_version()
    (tmp_path / "empty.db").touch()
    empty = open_catalog(f"sqlite:///{tmp_path}/empty.db")
    assert empty.schema_version() == 0
    empty.close()


def test_an_empty_postgres_database_has_schema_version_0(postgres_url: str) -> None:
    empty = open_catalog(postgres_url)
    assert empty.schema_version() == 0
    empty.close()


def test_ids_come_in_order_and_without_those_that_are_over(catalog: Catalog) -> None:
    ids = [
        upload(catalog, str(n).encode(), now=NOW + n, expires_at=LATER + n).media.id
        for n in range(5)
    ]
    assert catalog.ids_after("", now=NOW, limit=3) == ids[:3]
    assert catalog.ids_after(ids[2], now=NOW, limit=3) == ids[3:]
    assert catalog.ids_after("", now=LATER + 2, limit=9) == ids[3:]
    assert set(catalog.records(ids, now=LATER + 2)) == set(ids[3:])


def test_an_id_keeps_its_times_owners_and_bytes(catalog: Catalog, target: Catalog) -> None:
    id = upload(catalog, b"a", "ann", now=NOW, expires_at=LATER).media.id
    upload(catalog, b"a", "bob", now=NOW + 5, expires_at=LATER + 5)
    key = carry(catalog, target, id)
    expected = record_of(catalog, id)
    assert expected.owners == ("ann", "bob")
    arrived = record_of(target, id)
    assert arrived == replace(expected, media=replace(expected.media, storage_key=key))
    assert target.counts()["garbage"] == 0


def test_bytes_are_asked_for_only_when_the_content_is_not_there(
    catalog: Catalog, target: Catalog
) -> None:
    id = upload(catalog, b"a", now=NOW, expires_at=LATER).media.id
    assert target.take_in_ready(record_of(catalog, id), storage_key=None, now=NOW) is False
    assert target.get_many([id], now=NOW) == {}
    known = upload(target, b"a", "carl", now=NOW, expires_at=LATER).media
    assert target.take_in_ready(record_of(catalog, id), storage_key=None, now=NOW) is True
    assert record_of(target, id).media.storage_key == known.storage_key


def test_a_key_that_is_not_needed_becomes_garbage(catalog: Catalog, target: Catalog) -> None:
    id = upload(catalog, b"a", now=NOW, expires_at=LATER).media.id
    first = carry(catalog, target, id)
    second = carry(catalog, target, id)
    assert record_of(target, id).media.storage_key == first
    assert target.take_garbage(now=NOW, limit=9) == [second]


def test_a_key_that_a_sweep_has_taken_is_refused(catalog: Catalog, target: Catalog) -> None:
    id = upload(catalog, b"a", now=NOW, expires_at=LATER).media.id
    key = new_key()
    target.intend(key, due_at=NOW)
    assert target.take_garbage(now=NOW, limit=9) == [key]
    with pytest.raises(IntentLapsed):
        target.take_in_ready(record_of(catalog, id), storage_key=key, now=NOW)
    assert target.get_many([id], now=NOW) == {}


def test_the_ids_of_a_content_keep_their_order(catalog: Catalog, target: Catalog) -> None:
    content, later_id, earlier_id = content_of(b"twin"), new_media_id(NOW + 9), new_media_id(NOW)
    for id in (later_id, earlier_id):  # became ready in this order
        promise(catalog, id)
        key = new_key()
        catalog.intend(key, due_at=NOW + HOUR)
        catalog.complete_pending(id, content, key, now=NOW, expires_at=LATER)
    for id in sorted((later_id, earlier_id)):
        carry(catalog, target, id)
    for each in (catalog, target):
        claimed = each.claim_known(content, Claim("zoe", NOW), expires_at=LATER)
        assert claimed is not None
        assert claimed.media.id == later_id


def test_taking_in_twice_changes_nothing_and_renewals_follow(
    catalog: Catalog, target: Catalog
) -> None:
    id = upload(catalog, b"a", "ann", now=NOW, expires_at=LATER).media.id
    carry(catalog, target, id)
    before = record_of(target, id)
    assert before.covers(record_of(catalog, id))
    assert target.take_in_ready(record_of(catalog, id), storage_key=None, now=NOW)
    assert record_of(target, id) == before
    upload(catalog, b"a", "bob", now=NOW, expires_at=LATER + HOUR)
    assert not before.covers(record_of(catalog, id))
    assert target.take_in_ready(record_of(catalog, id), storage_key=None, now=NOW)
    after = record_of(target, id)
    assert (after.owners, after.media.expires_at) == (("ann", "bob"), LATER + HOUR)


def test_what_the_target_knows_better_stays(catalog: Catalog, target: Catalog) -> None:
    id = upload(catalog, b"a", "ann", now=NOW, expires_at=LATER).media.id
    old = record_of(catalog, id)
    carry(catalog, target, id)
    upload(target, b"a", "new", now=NOW, expires_at=LATER + HOUR)
    assert target.take_in_ready(old, storage_key=None, now=NOW)
    kept = record_of(target, id)
    assert (kept.owners, kept.media.expires_at) == (("ann", "new"), LATER + HOUR)


def test_claims_arrive_with_their_dates_ends_names_and_purposes(
    catalog: Catalog, target: Catalog
) -> None:
    content, key = content_of(b"a"), new_key()
    claim = Claim("ann", NOW, NOW + HOUR, "holiday.png", "vision")
    catalog.intend(key, due_at=NOW + HOUR)
    id = catalog.commit_upload(
        new_media_id(NOW), content, key, claim, expires_at=NOW + HOUR
    ).media.id
    upload(catalog, b"a", "bob", now=NOW + 1, expires_at=LATER)

    carry(catalog, target, id)

    assert record_of(target, id).claims == record_of(catalog, id).claims
    assert record_of(target, id).claims[0] == Claim("ann", NOW, NOW + HOUR, "holiday.png", "vision")
    assert record_of(target, id).covers(record_of(catalog, id))


def test_a_claim_on_both_sides_is_merged(catalog: Catalog, target: Catalog) -> None:
    id = upload(catalog, b"a", "ann", now=NOW, expires_at=LATER).media.id
    carry(catalog, target, id)
    for side, name, now in ((catalog, "here.png", NOW + 3), (target, "there.png", NOW + 5)):
        claim = Claim("bob", now, now + HOUR, name, "vision" if side is catalog else "")
        side.claim_known(content_of(b"a"), claim, expires_at=now + HOUR)
    assert not record_of(target, id).covers(record_of(catalog, id))

    assert target.take_in_ready(record_of(catalog, id), storage_key=None, now=NOW)

    assert target.claim_of(id, "bob", now=NOW) == Claim(
        "bob", NOW + 3, NOW + 5 + HOUR, "there.png", "vision"
    )
    assert target.usage("bob") == catalog.usage("bob")
    assert record_of(target, id).covers(record_of(catalog, id))


def test_a_pending_id_is_pending_there_and_its_upload_key_is_swept(
    catalog: Catalog, target: Catalog
) -> None:
    media = promise(catalog, new_media_id(NOW))
    target.take_in_unready(record_of(catalog, media.id), key_due_at=NOW + 2 * HOUR)
    assert record_of(target, media.id) == record_of(catalog, media.id)
    assert catalog.ids_after("", now=NOW + HOUR, limit=9) == [media.id]  # perhaps uploaded in time
    assert target.take_garbage(now=NOW + 2 * HOUR - 1, limit=9) == []
    assert target.take_garbage(now=NOW + 2 * HOUR, limit=9) == [media.storage_key]


def test_a_pending_id_that_became_ready_meanwhile_is_ready_there(
    catalog: Catalog, target: Catalog
) -> None:
    media = promise(catalog, new_media_id(NOW))
    target.take_in_unready(record_of(catalog, media.id), key_due_at=NOW + 2 * HOUR)
    was = record_of(catalog, media.id)
    key = new_key()
    catalog.intend(key, due_at=NOW + HOUR)
    catalog.complete_pending(media.id, content_of(b"b"), key, now=NOW, expires_at=LATER)
    assert not record_of(target, media.id).covers(record_of(catalog, media.id))
    carry(catalog, target, media.id)
    assert record_of(target, media.id).media.state is State.READY
    target.take_in_unready(was, key_due_at=NOW + 2 * HOUR)
    assert record_of(target, media.id).media.state is State.READY


def test_a_rejected_id_says_why_there_too(catalog: Catalog, target: Catalog) -> None:
    media = promise(catalog, new_media_id(NOW))
    target.take_in_unready(record_of(catalog, media.id), key_due_at=NOW + 2 * HOUR)
    catalog.reject_pending(media.id, "invalid_media", "no image", now=NOW)
    target.take_in_unready(record_of(catalog, media.id), key_due_at=NOW + 2 * HOUR)
    assert record_of(target, media.id) == record_of(catalog, media.id)


def test_what_was_taken_in_can_be_released(catalog: Catalog, target: Catalog) -> None:
    id = upload(catalog, b"a", "ann", now=NOW, expires_at=LATER).media.id
    key = carry(catalog, target, id)
    assert target.release(id, "ann", now=NOW) is Released.GONE
    assert target.take_garbage(now=NOW, limit=9) == [key]
