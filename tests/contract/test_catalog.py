"""What every catalog promises, sentence by sentence of the interface."""

from dataclasses import replace

import pytest
from jan_media.catalog.catalog import Catalog
from jan_media.catalog.interface import (
    CatalogUnavailable,
    Claim,
    Claimed,
    Expired,
    IntentLapsed,
    Media,
    Released,
    State,
)
from jan_media.media_id import new_media_id

from tests.support.catalogs import content_of, new_key, upload

NOW = 1_800_000_000_000
MINUTE = 60_000
DAY = 86_400_000
LATER = NOW + 30 * DAY
FOREVER = NOW + 10_000 * DAY
NOTHING = Expired(media=0, uploads=0, contents=0)
PNG = b"the bytes of a picture"


def new_pending(catalog: Catalog, owner: str = "ann", *, upload_key: str = "") -> Media:
    return catalog.create_pending(
        new_media_id(NOW),
        "image/png",
        upload_key or new_key("uploads"),
        Claim(owner, NOW),
        upload_until=NOW + 15 * MINUTE,
    )


def complete(
    catalog: Catalog, id: str, data: bytes = PNG, *, key: str = "", now: int = NOW
) -> Media | None:
    key = key or new_key()
    catalog.intend(key, due_at=now + DAY)
    return catalog.complete_pending(id, content_of(data), key, now=now, expires_at=LATER)


def live(catalog: Catalog, id: str, now: int = NOW) -> Media | None:
    return catalog.get_many([id], now=now).get(id)


def due(catalog: Catalog, now: int = NOW) -> list[str]:
    """Every due key, without changing more than that they are taken."""
    return catalog.take_garbage(now=now, limit=1000)


# --- upload


def test_a_first_upload_makes_its_id_ready_under_the_intended_key(catalog: Catalog) -> None:
    id, key = new_media_id(NOW), new_key()
    catalog.intend(key, due_at=NOW + DAY)

    claimed = catalog.commit_upload(id, content_of(PNG), key, Claim("ann", NOW), expires_at=LATER)

    assert claimed == Claimed(
        Media(
            id=id,
            state=State.READY,
            mime="image/png",
            bytes=len(PNG),
            sha256=content_of(PNG).sha256,
            storage_key=key,
            created_at=NOW,
            expires_at=LATER,
        ),
        deduped=False,
    )
    assert catalog.get_many([id], now=NOW) == {id: claimed.media}
    assert catalog.claim_of(id, "ann", now=NOW)


def test_a_committed_key_is_no_longer_garbage(catalog: Catalog) -> None:
    upload(catalog, PNG, now=NOW, expires_at=LATER)

    assert due(catalog, FOREVER) == []


def test_a_key_whose_writer_died_is_garbage_from_its_time_on(catalog: Catalog) -> None:
    catalog.intend("a-key", due_at=NOW + MINUTE)

    assert due(catalog, NOW + MINUTE - 1) == []
    assert due(catalog, NOW + MINUTE) == ["a-key"]


def test_intending_a_key_again_changes_nothing(catalog: Catalog) -> None:
    catalog.intend("a-key", due_at=NOW + MINUTE)
    catalog.intend("a-key", due_at=NOW + DAY)

    assert due(catalog, NOW + MINUTE) == ["a-key"]


def test_the_same_content_again_answers_the_same_id_and_drops_its_own_bytes(
    catalog: Catalog,
) -> None:
    first = upload(catalog, PNG, "ann", now=NOW, expires_at=LATER)

    second = upload(catalog, PNG, "bob", now=NOW + 1, expires_at=LATER, storage_key="second-key")

    assert second == Claimed(first.media, deduped=True)
    assert due(catalog, NOW + 1) == ["second-key"]
    assert catalog.claim_of(first.media.id, "ann", now=NOW)
    assert catalog.claim_of(first.media.id, "bob", now=NOW)


def test_an_expired_hold_that_no_sweep_has_taken_can_still_be_committed(
    catalog: Catalog,
) -> None:
    catalog.intend("a-key", due_at=NOW)

    claimed = catalog.commit_upload(
        new_media_id(NOW), content_of(PNG), "a-key", Claim("ann", NOW + DAY), expires_at=LATER
    )

    assert not claimed.deduped
    assert due(catalog, FOREVER) == []


def test_a_key_that_a_sweep_has_taken_cannot_be_committed(catalog: Catalog) -> None:
    catalog.intend("a-key", due_at=NOW)
    assert due(catalog) == ["a-key"]

    id = new_media_id(NOW)
    with pytest.raises(IntentLapsed):
        catalog.commit_upload(id, content_of(PNG), "a-key", Claim("ann", NOW), expires_at=LATER)

    assert live(catalog, id) is None
    assert catalog.claim_known(content_of(PNG), Claim("ann", NOW), expires_at=LATER) is None


def begin(
    catalog: Catalog, owner: str = "ann", *, key: str = "a-key", expires_at: int = LATER
) -> Claimed | None:
    """As the library begins an upload."""
    known = catalog.claim_known(content_of(PNG), Claim(owner, NOW), expires_at=expires_at)
    if known is None:
        catalog.intend(key, due_at=NOW + MINUTE)
    return known


def test_an_upload_of_an_unknown_content_begins_with_its_key_held(catalog: Catalog) -> None:
    assert begin(catalog) is None

    assert due(catalog, NOW + MINUTE - 1) == []
    id = new_media_id(NOW)
    claimed = catalog.commit_upload(
        id, content_of(PNG), "a-key", Claim("ann", NOW), expires_at=LATER
    )
    assert (claimed.media.id, claimed.media.storage_key, claimed.deduped) == (id, "a-key", False)


def test_an_upload_that_dies_after_its_beginning_leaves_its_key_as_garbage(
    catalog: Catalog,
) -> None:
    assert begin(catalog) is None

    assert due(catalog, NOW + MINUTE) == ["a-key"]


def test_beginning_again_changes_nothing(catalog: Catalog) -> None:
    assert begin(catalog) is None
    assert begin(catalog) is None

    assert due(catalog, NOW + MINUTE) == ["a-key"]


def test_an_upload_of_what_one_owns_holds_no_key_and_changes_nothing(catalog: Catalog) -> None:
    first = upload(catalog, PNG, now=NOW, expires_at=LATER)

    assert begin(catalog) == Claimed(first.media, deduped=True)

    assert live(catalog, first.media.id) == first.media
    assert due(catalog, FOREVER) == []


def test_an_upload_of_what_others_own_claims_it_and_renews_it(catalog: Catalog) -> None:
    first = upload(catalog, PNG, "ann", now=NOW, expires_at=LATER)

    begun = begin(catalog, "bob", expires_at=LATER + DAY)

    assert begun == Claimed(replace(first.media, expires_at=LATER + DAY), deduped=True)
    assert live(catalog, first.media.id) == begun.media
    assert catalog.claim_of(first.media.id, "bob", now=NOW)
    assert due(catalog, LATER) == []


def test_an_upload_of_what_has_expired_begins_anew(catalog: Catalog) -> None:
    first = upload(catalog, PNG, now=NOW - DAY, expires_at=NOW)

    assert begin(catalog) is None

    again = catalog.commit_upload(
        new_media_id(NOW), content_of(PNG), "a-key", Claim("ann", NOW), expires_at=LATER
    )
    assert (again.deduped, again.media.storage_key) == (False, first.media.storage_key)
    assert due(catalog, NOW) == ["a-key"]


def test_bytes_written_after_their_sweep_are_swept_again(catalog: Catalog) -> None:
    catalog.intend("a-key", due_at=NOW)
    assert due(catalog) == ["a-key"]
    with pytest.raises(IntentLapsed):
        catalog.commit_upload(
            new_media_id(NOW), content_of(PNG), "a-key", Claim("ann", NOW), expires_at=LATER
        )

    catalog.forget_garbage(["a-key"])  # the first sweep deleted before the bytes were written

    assert due(catalog) == ["a-key"]


def test_a_key_never_intended_cannot_be_committed(catalog: Catalog) -> None:
    with pytest.raises(IntentLapsed):
        catalog.commit_upload(
            new_media_id(NOW), content_of(PNG), "a-key", Claim("ann", NOW), expires_at=LATER
        )


def test_a_lapsed_key_does_not_matter_if_the_content_is_there(catalog: Catalog) -> None:
    first = upload(catalog, PNG, now=NOW, expires_at=LATER)
    catalog.intend("a-key", due_at=NOW)
    assert due(catalog) == ["a-key"]

    again = catalog.commit_upload(
        new_media_id(NOW), content_of(PNG), "a-key", Claim("bob", NOW), expires_at=LATER
    )

    assert again == Claimed(first.media, deduped=True)


def test_repeating_a_commit_whose_answer_was_lost_answers_the_same(catalog: Catalog) -> None:
    id, key = new_media_id(NOW), new_key()
    first = upload(catalog, PNG, now=NOW, expires_at=LATER, new_id=id, storage_key=key)

    again = catalog.commit_upload(id, content_of(PNG), key, Claim("ann", NOW), expires_at=LATER)

    assert again == first
    assert due(catalog, FOREVER) == []


def test_bytes_still_stored_for_an_expired_id_serve_the_next_upload(catalog: Catalog) -> None:
    old = upload(catalog, PNG, "ann", now=NOW, expires_at=NOW + DAY)

    new = upload(catalog, PNG, "bob", now=NOW + DAY, expires_at=LATER, storage_key="second-key")

    assert not new.deduped
    assert new.media.id != old.media.id
    assert new.media.storage_key == old.media.storage_key
    assert due(catalog, NOW + DAY) == ["second-key"]
    assert catalog.expire(now=NOW + DAY, limit=10) == Expired(media=1, uploads=0, contents=0)
    assert live(catalog, new.media.id) == new.media


# --- claiming what is known


def test_an_unknown_content_cannot_be_claimed(catalog: Catalog) -> None:
    assert catalog.claim_known(content_of(PNG), Claim("ann", NOW), expires_at=LATER) is None


def test_a_known_content_is_claimed_without_its_bytes(catalog: Catalog) -> None:
    first = upload(catalog, PNG, "ann", now=NOW, expires_at=LATER)

    claimed = catalog.claim_known(content_of(PNG), Claim("bob", NOW), expires_at=LATER)

    assert claimed == Claimed(first.media, deduped=True)
    assert catalog.claim_of(first.media.id, "bob", now=NOW)


def test_claiming_renews_the_retention(catalog: Catalog) -> None:
    id = upload(catalog, PNG, now=NOW, expires_at=LATER).media.id

    claimed = catalog.claim_known(content_of(PNG), Claim("ann", NOW), expires_at=LATER + DAY)

    assert claimed is not None
    assert claimed.media.expires_at == LATER + DAY
    assert live(catalog, id, LATER) == claimed.media


def test_claiming_never_shortens_the_retention(catalog: Catalog) -> None:
    upload(catalog, PNG, now=NOW, expires_at=LATER)

    claimed = catalog.claim_known(content_of(PNG), Claim("ann", NOW), expires_at=NOW + DAY)

    assert claimed is not None
    assert claimed.media.expires_at == LATER


def test_an_expired_id_cannot_be_claimed(catalog: Catalog) -> None:
    upload(catalog, PNG, now=NOW, expires_at=NOW + DAY)

    assert catalog.claim_known(content_of(PNG), Claim("ann", NOW + DAY), expires_at=LATER) is None


def test_a_direct_upload_does_not_change_which_id_a_content_answers(catalog: Catalog) -> None:
    older_id = new_pending(catalog).id
    first = upload(catalog, PNG, now=NOW, expires_at=LATER, new_id=new_media_id(NOW + 1))
    complete(catalog, older_id)

    claimed = catalog.claim_known(content_of(PNG), Claim("ann", NOW), expires_at=LATER)

    assert claimed is not None
    assert claimed.media.id == first.media.id != older_id


def test_a_content_answers_its_next_id_once_the_first_is_gone(catalog: Catalog) -> None:
    first = upload(catalog, PNG, "ann", now=NOW, expires_at=LATER).media.id
    twin = new_pending(catalog, "bob").id
    complete(catalog, twin)
    catalog.release(first, "ann", now=NOW)

    claimed = catalog.claim_known(content_of(PNG), Claim("ann", NOW), expires_at=LATER)

    assert claimed is not None
    assert claimed.media.id == twin


# --- direct upload


def test_a_promised_id_is_pending_and_owned(catalog: Catalog) -> None:
    pending = new_pending(catalog, "ann", upload_key="an-upload")

    assert pending == Media(
        id=pending.id,
        state=State.PENDING,
        mime="image/png",
        bytes=0,
        sha256="",
        storage_key="an-upload",
        created_at=NOW,
        expires_at=NOW + 15 * MINUTE,
    )
    assert live(catalog, pending.id) == pending
    assert catalog.claim_of(pending.id, "ann", now=NOW)


@pytest.mark.parametrize("outcome", ["unused", "completed", "rejected", "released"])
def test_an_upload_key_is_garbage_in_the_end_whatever_happens(
    catalog: Catalog, outcome: str
) -> None:
    id = new_pending(catalog, upload_key="an-upload").id
    if outcome == "completed":
        complete(catalog, id)
    elif outcome == "rejected":
        catalog.reject_pending(id, "code", "message", now=NOW)
    elif outcome == "released":
        catalog.release(id, "ann", now=NOW)

    assert due(catalog, NOW + 15 * MINUTE - 1) == []
    assert due(catalog, NOW + 15 * MINUTE) == ["an-upload"]


def test_an_upload_key_can_never_be_committed(catalog: Catalog) -> None:
    id = new_pending(catalog, upload_key="an-upload").id

    with pytest.raises(IntentLapsed):
        catalog.complete_pending(id, content_of(PNG), "an-upload", now=NOW, expires_at=LATER)


def test_completing_makes_the_promised_id_ready(catalog: Catalog) -> None:
    id = new_pending(catalog).id

    ready = complete(catalog, id, key="a-key", now=NOW + MINUTE)

    assert ready == Media(
        id=id,
        state=State.READY,
        mime="image/png",
        bytes=len(PNG),
        sha256=content_of(PNG).sha256,
        storage_key="a-key",
        created_at=NOW,
        expires_at=LATER,
    )
    assert live(catalog, id) == ready


def test_completing_takes_the_type_of_the_content_not_the_promised_one(
    catalog: Catalog,
) -> None:
    id = new_pending(catalog).id
    catalog.intend("a-key", due_at=LATER)

    ready = catalog.complete_pending(
        id, content_of(PNG, "image/webp"), "a-key", now=NOW, expires_at=LATER
    )

    assert ready is not None
    assert ready.mime == "image/webp"


def test_completing_a_known_content_keeps_the_id_and_shares_the_bytes(
    catalog: Catalog,
) -> None:
    twin = upload(catalog, PNG, now=NOW, expires_at=LATER).media
    id = new_pending(catalog).id

    ready = complete(catalog, id, key="second-key")

    assert ready is not None
    assert ready.id == id != twin.id
    assert ready.storage_key == twin.storage_key
    assert due(catalog, NOW) == ["second-key"]


def test_completing_twice_leaves_the_first_and_drops_the_second(catalog: Catalog) -> None:
    id = new_pending(catalog).id
    first = complete(catalog, id, PNG)

    second = complete(catalog, id, b"other bytes, by a replayed policy", key="second-key")

    assert second == first
    assert due(catalog, NOW) == ["second-key"]
    assert catalog.counts()["contents"] == 1


def test_repeating_a_completion_whose_answer_was_lost_keeps_the_bytes(
    catalog: Catalog,
) -> None:
    id = new_pending(catalog).id
    first = complete(catalog, id, key="a-key")

    again = catalog.complete_pending(id, content_of(PNG), "a-key", now=NOW, expires_at=LATER)

    assert again == first
    assert "a-key" not in due(catalog, FOREVER)


def test_a_promise_that_is_over_can_be_completed_until_it_is_expired(catalog: Catalog) -> None:
    used_late, never_used = new_pending(catalog), new_pending(catalog)
    over = NOW + 15 * MINUTE

    assert live(catalog, used_late.id, over) == used_late
    assert catalog.overdue_uploads(now=over - 1, limit=9) == []
    overdue = sorted([used_late, never_used], key=lambda media: media.id)
    assert catalog.overdue_uploads(now=over, limit=9) == overdue
    assert catalog.overdue_uploads(now=over, limit=1) == overdue[:1]
    assert catalog.overdue_uploads(now=over, limit=9, after=overdue[0].id) == overdue[1:]
    ready = complete(catalog, used_late.id, key="a-key", now=over)

    assert ready is not None
    assert ready.state is State.READY
    assert catalog.expire(now=over, limit=9) == Expired(media=0, uploads=1, contents=0)
    assert live(catalog, used_late.id, over) == ready
    assert live(catalog, never_used.id, over) is None


def test_completing_an_expired_promise_drops_the_bytes(catalog: Catalog) -> None:
    id = new_pending(catalog, upload_key="an-upload").id
    over = NOW + 15 * MINUTE
    catalog.expire(now=over, limit=9)

    assert complete(catalog, id, key="a-key", now=over) is None

    assert sorted(due(catalog, over)) == ["a-key", "an-upload"]


def test_a_promise_that_is_over_can_be_rejected_and_given_up(catalog: Catalog) -> None:
    rejected, given_up = new_pending(catalog), new_pending(catalog)
    over = NOW + 15 * MINUTE

    assert catalog.reject_pending(rejected.id, "invalid_media", "No.", now=over) is None
    assert catalog.release(given_up.id, "ann", now=over) is Released.GONE

    assert catalog.overdue_uploads(now=over, limit=9) == []


def test_completing_an_id_that_never_was_drops_the_bytes(catalog: Catalog) -> None:
    assert complete(catalog, new_media_id(NOW), key="a-key") is None

    assert due(catalog) == ["a-key"]


def test_completing_under_a_taken_key_leaves_the_id_pending(catalog: Catalog) -> None:
    pending = new_pending(catalog)
    catalog.intend("a-key", due_at=NOW)
    assert due(catalog) == ["a-key"]

    with pytest.raises(IntentLapsed):
        catalog.complete_pending(pending.id, content_of(PNG), "a-key", now=NOW, expires_at=LATER)

    assert live(catalog, pending.id) == pending


def test_a_rejected_id_tells_why_until_its_upload_time_ends(catalog: Catalog) -> None:
    id = new_pending(catalog).id

    rejected = catalog.reject_pending(id, "invalid_media", "Not an image.", now=NOW)

    assert rejected is not None
    assert rejected.state is State.REJECTED
    assert (rejected.rejection_code, rejected.rejection_message) == (
        "invalid_media",
        "Not an image.",
    )
    assert live(catalog, id) == rejected
    assert live(catalog, id, NOW + 15 * MINUTE) is None


def test_a_rejected_id_cannot_be_completed(catalog: Catalog) -> None:
    id = new_pending(catalog).id
    rejected = catalog.reject_pending(id, "invalid_media", "Not an image.", now=NOW)

    assert complete(catalog, id, key="a-key") == rejected
    assert due(catalog) == ["a-key"]


def test_only_a_pending_id_can_be_rejected(catalog: Catalog) -> None:
    ready = upload(catalog, PNG, now=NOW, expires_at=LATER).media
    first = catalog.reject_pending(new_pending(catalog).id, "a", "A", now=NOW)
    assert first is not None

    assert catalog.reject_pending(ready.id, "b", "B", now=NOW) == ready
    assert catalog.reject_pending(first.id, "b", "B", now=NOW) == first
    assert catalog.reject_pending(new_media_id(NOW), "b", "B", now=NOW) is None


# --- reading


def test_get_many_answers_what_exists_and_has_not_expired(catalog: Catalog) -> None:
    ready = upload(catalog, PNG, now=NOW, expires_at=LATER).media
    pending = new_pending(catalog)
    over = upload(catalog, b"short", now=NOW, expires_at=NOW + 1).media

    found = catalog.get_many([ready.id, pending.id, over.id, new_media_id(NOW)], now=NOW + 1)

    assert found == {ready.id: ready, pending.id: pending}


def test_get_many_of_none_is_empty(catalog: Catalog) -> None:
    assert catalog.get_many([], now=NOW) == {}


def test_get_many_takes_any_number_of_ids(catalog: Catalog) -> None:
    ready = upload(catalog, PNG, now=NOW, expires_at=LATER).media
    ids = [new_media_id(NOW) for _ in range(2000)]

    assert catalog.get_many([*ids, ready.id, ready.id], now=NOW) == {ready.id: ready}


def test_only_claimants_own_an_id(catalog: Catalog) -> None:
    id = upload(catalog, PNG, "ann", now=NOW, expires_at=LATER).media.id

    assert not catalog.claim_of(id, "bob", now=NOW)
    assert not catalog.claim_of(new_media_id(NOW), "ann", now=NOW)


def test_list_owned_pages_through_ones_own_ready_ids_newest_first(catalog: Catalog) -> None:
    mine = [
        upload(catalog, b"%d" % n, "ann", now=NOW + n, expires_at=LATER).media for n in range(5)
    ]
    upload(catalog, b"another's", "bob", now=NOW, expires_at=LATER)
    upload(catalog, b"over", "ann", now=NOW, expires_at=NOW + 5)
    new_pending(catalog, "ann")
    newest_first = mine[::-1]

    first = catalog.list_owned("ann", now=NOW + 5, limit=3)
    second = catalog.list_owned("ann", now=NOW + 5, limit=3, after=first.items[-1].position)

    assert [each.media for each in first.items] == newest_first[:3]
    assert [each.media for each in second.items] == newest_first[3:]
    assert (first.more, second.more) == (True, False)


# --- release


def test_the_last_release_takes_the_id_and_its_bytes(catalog: Catalog) -> None:
    media = upload(catalog, PNG, "ann", now=NOW, expires_at=LATER).media

    assert catalog.release(media.id, "ann", now=NOW) is Released.GONE

    assert live(catalog, media.id) is None
    assert not catalog.claim_of(media.id, "ann", now=NOW)
    assert due(catalog) == [media.storage_key]
    assert catalog.claim_known(content_of(PNG), Claim("ann", NOW), expires_at=LATER) is None


def test_a_release_leaves_the_others_claims(catalog: Catalog) -> None:
    media = upload(catalog, PNG, "ann", now=NOW, expires_at=LATER).media
    upload(catalog, PNG, "bob", now=NOW, expires_at=LATER, storage_key="second-key")

    assert catalog.release(media.id, "ann", now=NOW) is Released.SHARED

    assert live(catalog, media.id) == media
    assert not catalog.claim_of(media.id, "ann", now=NOW)
    assert catalog.claim_of(media.id, "bob", now=NOW)
    assert due(catalog) == ["second-key"]


def test_bytes_shared_with_another_id_survive_a_release(catalog: Catalog) -> None:
    media = upload(catalog, PNG, "ann", now=NOW, expires_at=LATER).media
    twin = new_pending(catalog, "bob", upload_key="an-upload").id
    complete(catalog, twin, key="second-key")

    assert catalog.release(media.id, "ann", now=NOW) is Released.GONE

    shared = live(catalog, twin)
    assert shared is not None
    assert shared.storage_key == media.storage_key
    assert due(catalog) == ["second-key"]


def test_one_cannot_release_what_one_does_not_own(catalog: Catalog) -> None:
    media = upload(catalog, PNG, "ann", now=NOW, expires_at=LATER).media

    assert catalog.release(media.id, "bob", now=NOW) is Released.NOT_OWNER
    assert live(catalog, media.id) == media


def test_releasing_twice_finds_nothing_the_second_time(catalog: Catalog) -> None:
    id = upload(catalog, PNG, "ann", now=NOW, expires_at=LATER).media.id
    catalog.release(id, "ann", now=NOW)

    assert catalog.release(id, "ann", now=NOW) is Released.NOT_FOUND


def test_an_expired_id_cannot_be_released(catalog: Catalog) -> None:
    id = upload(catalog, PNG, "ann", now=NOW, expires_at=NOW + DAY).media.id

    assert catalog.release(id, "ann", now=NOW + DAY) is Released.NOT_FOUND


def test_a_pending_id_can_be_released(catalog: Catalog) -> None:
    id = new_pending(catalog, "ann").id

    assert catalog.release(id, "bob", now=NOW) is Released.NOT_OWNER
    assert catalog.release(id, "ann", now=NOW) is Released.GONE
    assert live(catalog, id) is None


# --- the end of retention


def test_expire_removes_what_is_over_and_its_bytes(catalog: Catalog) -> None:
    over = upload(catalog, b"over", now=NOW, expires_at=NOW + DAY).media
    kept = upload(catalog, b"kept", now=NOW, expires_at=LATER).media
    new_pending(catalog, upload_key="upload-1")
    catalog.reject_pending(new_pending(catalog, upload_key="upload-2").id, "a", "A", now=NOW)

    assert catalog.expire(now=NOW + DAY - 1, limit=10) == Expired(media=0, uploads=2, contents=0)
    assert catalog.expire(now=NOW + DAY, limit=10) == Expired(media=1, uploads=0, contents=1)

    assert sorted(due(catalog, NOW + DAY)) == sorted(["upload-1", "upload-2", over.storage_key])
    assert live(catalog, kept.id) == kept
    assert catalog.counts()["contents"] == 1
    assert not catalog.claim_of(over.id, "ann", now=NOW)


def test_expire_stops_at_its_limit_and_says_when_nothing_is_left(catalog: Catalog) -> None:
    for n in range(3):
        upload(catalog, b"%d" % n, now=NOW, expires_at=NOW + 1)

    assert catalog.expire(now=NOW + 1, limit=2) == Expired(media=2, uploads=0, contents=2)
    assert catalog.expire(now=NOW + 1, limit=2) == Expired(media=1, uploads=0, contents=1)
    assert catalog.expire(now=NOW + 1, limit=2) == NOTHING


def test_bytes_go_with_the_last_of_the_ids_that_share_them(catalog: Catalog) -> None:
    media = upload(catalog, PNG, now=NOW, expires_at=NOW + DAY).media
    twin = new_pending(catalog).id
    complete(catalog, twin)

    assert catalog.expire(now=NOW + DAY, limit=10) == Expired(media=1, uploads=0, contents=0)
    assert catalog.expire(now=LATER, limit=10) == Expired(media=1, uploads=0, contents=1)
    assert media.storage_key in due(catalog, LATER)


def test_a_renewed_id_does_not_expire(catalog: Catalog) -> None:
    media = upload(catalog, PNG, now=NOW, expires_at=NOW + DAY).media
    catalog.claim_known(content_of(PNG), Claim("ann", NOW), expires_at=LATER)

    assert catalog.expire(now=NOW + DAY, limit=10) == NOTHING
    assert live(catalog, media.id, NOW + DAY) is not None


def test_count_expired_foretells_what_expire_removes(catalog: Catalog) -> None:
    upload(catalog, b"over", now=NOW, expires_at=NOW + DAY)
    upload(catalog, PNG, now=NOW, expires_at=NOW + DAY)
    complete(catalog, new_pending(catalog).id, PNG)  # shares its bytes and lives on
    new_pending(catalog)

    foretold = catalog.count_expired(now=NOW + DAY)

    assert foretold == Expired(media=2, uploads=1, contents=1)
    assert catalog.count_expired(now=NOW + DAY) == foretold
    assert catalog.expire(now=NOW + DAY, limit=1000) == foretold
    assert catalog.count_expired(now=NOW + DAY) == NOTHING


# --- garbage


def test_garbage_is_taken_longest_due_first_up_to_a_limit(catalog: Catalog) -> None:
    for n in (3, 1, 2, 4):
        catalog.intend(f"key-{n}", due_at=NOW + n)

    assert sorted(catalog.take_garbage(now=NOW + 3, limit=2)) == ["key-1", "key-2"]


def test_a_forgotten_key_is_not_given_out_again(catalog: Catalog) -> None:
    catalog.intend("a-key", due_at=NOW)
    due(catalog)

    catalog.forget_garbage(["a-key"])

    assert due(catalog, FOREVER) == []


def test_forgetting_nothing_or_something_unknown_is_fine(catalog: Catalog) -> None:
    catalog.forget_garbage([])
    catalog.forget_garbage(["never-heard-of"])


def test_a_key_that_was_not_taken_is_not_forgotten(catalog: Catalog) -> None:
    catalog.intend("a-key", due_at=NOW)

    catalog.forget_garbage(["a-key"])

    assert due(catalog) == ["a-key"]


def test_a_key_taken_by_a_sweep_that_died_is_given_out_again(catalog: Catalog) -> None:
    catalog.intend("a-key", due_at=NOW)

    assert due(catalog) == ["a-key"]
    assert due(catalog, NOW + 1) == ["a-key"]


def test_keys_that_cannot_be_deleted_do_not_keep_others_from_their_turn(
    catalog: Catalog,
) -> None:
    catalog.intend("stuck", due_at=NOW - 2)
    catalog.intend("other", due_at=NOW - 1)

    assert catalog.take_garbage(now=NOW, limit=1) == ["stuck"]
    assert catalog.take_garbage(now=NOW, limit=1) == ["other"]


def test_count_garbage_counts_what_is_due(catalog: Catalog) -> None:
    catalog.intend("key-1", due_at=NOW)
    catalog.intend("key-2", due_at=NOW + 1)

    assert catalog.count_garbage(now=NOW) == 1
    due(catalog)
    assert catalog.count_garbage(now=NOW) == 1
    catalog.forget_garbage(["key-1"])
    assert catalog.count_garbage(now=NOW) == 0


# --- leases


def test_a_lease_is_held_by_one_until_it_runs_out(catalog: Catalog) -> None:
    assert catalog.lease("sweep", "a", now=NOW, until=NOW + MINUTE)

    assert not catalog.lease("sweep", "b", now=NOW + MINUTE - 1, until=LATER)
    assert catalog.lease("sweep", "b", now=NOW + MINUTE, until=LATER)
    assert not catalog.lease("sweep", "a", now=NOW + MINUTE, until=LATER)


def test_a_holder_renews_its_lease(catalog: Catalog) -> None:
    catalog.lease("sweep", "a", now=NOW, until=NOW + MINUTE)

    assert catalog.lease("sweep", "a", now=NOW + 1, until=NOW + 2 * MINUTE)
    assert not catalog.lease("sweep", "b", now=NOW + MINUTE, until=LATER)


def test_a_holder_gives_a_lease_back_by_letting_it_end_now(catalog: Catalog) -> None:
    catalog.lease("sweep", "a", now=NOW, until=NOW + MINUTE)
    catalog.lease("sweep", "a", now=NOW + 1, until=NOW + 1)

    assert catalog.lease("sweep", "b", now=NOW + 1, until=LATER)


def test_leases_of_other_names_are_independent(catalog: Catalog) -> None:
    assert catalog.lease("sweep", "a", now=NOW, until=LATER)
    assert catalog.lease("other", "b", now=NOW, until=LATER)


# --- sizes, health, closing


def test_counts_tell_the_sizes(catalog: Catalog) -> None:
    assert catalog.counts() == {
        "media": 0,
        "pending": 0,
        "contents": 0,
        "content_bytes": 0,
        "garbage": 0,
    }

    upload(catalog, b"12345", now=NOW, expires_at=LATER)
    complete(catalog, new_pending(catalog).id, b"12345")  # a twin, its upload, its dropped bytes
    upload(catalog, b"1234567", now=NOW, expires_at=LATER)
    new_pending(catalog)

    assert catalog.counts() == {
        "media": 3,
        "pending": 1,
        "contents": 2,
        "content_bytes": 12,
        "garbage": 3,
    }


def test_check_answers_on_a_healthy_database(catalog: Catalog) -> None:
    catalog.check()


def test_a_closed_catalog_is_unavailable(catalog: Catalog) -> None:
    catalog.check()
    catalog.close()

    with pytest.raises(CatalogUnavailable):
        catalog.check()
    with pytest.raises(CatalogUnavailable):
        catalog.intend("a-key", due_at=NOW)


def test_closing_twice_is_fine(catalog: Catalog) -> None:
    catalog.close()
    catalog.close()
