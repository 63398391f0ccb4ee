"""Claims: what a catalog keeps of each owner's hold on an id (date, end, name, purpose)."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from jan_media.catalog.catalog import Catalog
from jan_media.catalog.database import Transaction
from jan_media.catalog.interface import (
    Claim,
    Content,
    Expired,
    Quota,
    QuotaExceeded,
    Released,
    Usage,
)
from jan_media.catalog.sqlite import SqliteCatalog
from jan_media.library.ingest import FileDetails
from jan_media.media_id import new_media_id

from tests.support.catalogs import content_of, new_key, open_migrated

NOW = 1_800_000_000_000
HOUR = 3_600_000
LATER = NOW + 30 * 24 * HOUR
SHORT = FileDetails(lifetime=HOUR)
NOTHING = Expired(media=0, uploads=0, contents=0)


def claim(
    catalog: Catalog,
    data: bytes | Content,
    owner: str,
    details: FileDetails,
    *,
    now: int = NOW,
    quota: Quota | None = None,
) -> str:
    """Upload as the library does; the id."""
    content = data if isinstance(data, Content) else content_of(data)
    expires_at = LATER if details.lifetime is None else now + details.lifetime
    end = None if details.lifetime is None else expires_at
    wanted = Claim(owner, now, end, details.name, details.purpose)
    limit = {} if quota is None else {"quota": quota}
    key = new_key()
    known = catalog.claim_known(content, wanted, expires_at=expires_at, **limit)
    if known is None:
        catalog.intend(key, due_at=now + HOUR)
        known = catalog.commit_upload(
            new_media_id(now), content, key, wanted, expires_at=expires_at, **limit
        )
    return known.media.id


def expire_all(catalog: Catalog, now: int) -> list[Expired]:
    done = []
    while expired := catalog.expire(now=now, limit=100):
        done.append(expired)
    return done


def listed(catalog: Catalog, owner: str, **how: object) -> list[str]:
    found = catalog.list_owned(owner, now=NOW, limit=9, **how)  # type: ignore[arg-type]
    return [each.media.id for each in found.items]


# --- date, name and purpose


def test_each_owner_has_a_date_a_name_and_a_purpose_of_its_own(catalog: Catalog) -> None:
    id = claim(catalog, b"a", "ann", FileDetails("ann's.png", "vision"))
    assert claim(catalog, b"a", "bob", FileDetails("b.png", "user_data"), now=NOW + 5) == id

    assert catalog.claim_of(id, "ann", now=NOW + 5) == Claim(
        "ann", NOW, None, "ann's.png", "vision"
    )
    assert catalog.claim_of(id, "bob", now=NOW + 5) == Claim(
        "bob", NOW + 5, None, "b.png", "user_data"
    )


def test_uploading_again_keeps_the_date_and_takes_over_what_is_told(catalog: Catalog) -> None:
    id = claim(catalog, b"a", "ann", FileDetails("old.png", "vision"))
    claim(catalog, b"a", "ann", FileDetails(), now=NOW + 1)
    assert catalog.claim_of(id, "ann", now=NOW) == Claim("ann", NOW, None, "old.png", "vision")

    claim(catalog, b"a", "ann", FileDetails("new.png", "user_data"), now=NOW + 2)

    assert catalog.claim_of(id, "ann", now=NOW) == Claim("ann", NOW, None, "new.png", "user_data")


@pytest.mark.parametrize("name", ["<script>", "a\r\nb: c", "'; DROP TABLE claims; --", "🦆 ü %s ?"])
def test_a_name_may_be_any_text(catalog: Catalog, name: str) -> None:
    id = claim(catalog, b"a", "ann", FileDetails(name))
    found = catalog.claim_of(id, "ann", now=NOW)
    assert found is not None
    assert found.name == name


def test_lists_are_in_the_order_of_ones_own_uploads(catalog: Catalog) -> None:
    first, second, third = (
        claim(catalog, data, "bob", FileDetails(), now=NOW - 9) for data in (b"1", b"2", b"3")
    )
    for age, data in ((3, b"2"), (2, b"1"), (2, b"3")):
        claim(catalog, data, "ann", FileDetails(), now=NOW - age)
    newest_first = [*sorted((first, third), reverse=True), second]

    assert listed(catalog, "ann") == newest_first
    assert listed(catalog, "ann", oldest_first=True) == newest_first[::-1]
    at = catalog.list_owned("ann", now=NOW, limit=9).items[1].position
    assert listed(catalog, "ann", after=at) == newest_first[2:]
    assert listed(catalog, "ann", after=at, oldest_first=True) == newest_first[:1]


def test_lists_may_be_of_one_purpose_which_the_type_tells_if_nobody_has(catalog: Catalog) -> None:
    pdf = content_of(b"%PDF", "application/pdf")
    told = claim(catalog, b"1", "ann", FileDetails(purpose="user_data"))
    image = claim(catalog, b"2", "ann", FileDetails())
    other = claim(catalog, pdf, "ann", FileDetails())

    assert listed(catalog, "ann", purpose="vision") == [image]
    assert set(listed(catalog, "ann", purpose="user_data")) == {told, other}
    assert listed(catalog, "ann", purpose="x") == []


def test_a_direct_upload_is_listed_by_the_purpose_of_the_type_that_it_turns_out_to_have(
    catalog: Catalog,
) -> None:
    id, key = new_media_id(NOW), new_key()
    catalog.create_pending(id, "image/png", new_key(), Claim("ann", NOW), upload_until=LATER)
    catalog.intend(key, due_at=NOW + HOUR)
    pdf = content_of(b"%PDF", "application/pdf")

    catalog.complete_pending(id, pdf, key, now=NOW, expires_at=LATER)

    assert listed(catalog, "ann", purpose="user_data") == [id]
    assert listed(catalog, "ann", purpose="vision") == []


def test_a_list_by_purpose_reads_nothing_of_another_purpose(
    catalog: Catalog,
) -> None:
    for oldest_first in (False, True):
        plan = plan_of_list(catalog, purpose="vision", after=(NOW, "x"), oldest_first=oldest_first)
        assert "claims_by_purpose" in plan
        assert "Filter: ((listed_as" not in plan
        assert not re.search("sort|temp b-tree", plan, re.IGNORECASE), plan


def test_a_list_of_some_ids_does_not_go_through_all_that_an_owner_has(tmp_path: Path) -> None:
    # PostgreSQL decides by how much there is.
    with open_migrated(f"sqlite:///{tmp_path}/catalog.db") as catalog:
        assert "SEARCH k USING PRIMARY KEY (owner=? AND id=?)" in plan_of_list(
            catalog, ids=["a", "b"]
        )


def plan_of_list(catalog: Catalog, **how: object) -> str:
    """How the database would find a list."""
    explain = "EXPLAIN QUERY PLAN" if isinstance(catalog, SqliteCatalog) else "EXPLAIN"
    plan: list[str] = []

    class Explained:
        def __init__(self, tx: Transaction) -> None:
            self.tx = tx

        def rows(self, sql: str, *parameters: object) -> list[object]:
            plan.extend(str(row) for row in self.tx.rows(f"{explain} {sql}", *parameters))
            return []

    read = catalog._read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "_read", lambda work: read(lambda tx: work(Explained(tx))))
        listed(catalog, "ann", **how)
    return "\n".join(plan)


# --- a claim that ends before its media


def test_a_claim_with_a_lifetime_ends_and_the_media_of_others_stays(catalog: Catalog) -> None:
    id = claim(catalog, b"a", "ann", SHORT)
    claim(catalog, b"a", "bob", FileDetails())
    over = NOW + HOUR
    assert catalog.claim_of(id, "ann", now=over - 1)
    assert catalog.claim_of(id, "ann", now=over) is None
    (last,) = catalog.list_owned("ann", now=over - 1, limit=9).items
    assert last.expires_at == over
    assert catalog.list_owned("ann", now=over, limit=9).items == []
    assert catalog.usage("ann") == Usage(1, 1)

    foretold = catalog.count_expired(now=over)
    assert expire_all(catalog, over) == [foretold] == [replace(NOTHING, claims=1)]

    assert catalog.usage("ann") == Usage(0, 0)
    assert catalog.usage("bob") == Usage(1, 1)
    assert id in catalog.get_many([id], now=over)
    assert expire_all(catalog, over) == []


def test_media_of_which_the_only_claim_ends_ends_with_it(catalog: Catalog) -> None:
    id = claim(catalog, b"a", "ann", SHORT)
    assert catalog.get_many([id], now=NOW + HOUR) == {}
    assert expire_all(catalog, NOW + HOUR) == [Expired(media=1, uploads=0, contents=1)]
    assert catalog.usage("ann") == Usage(0, 0)


def test_media_goes_with_its_last_claim_though_it_was_to_be_kept_for_another(
    catalog: Catalog,
) -> None:
    id = claim(catalog, b"a", "ann", SHORT)
    claim(catalog, b"a", "bob", FileDetails())
    assert catalog.release(id, "bob", now=NOW) is Released.SHARED

    assert expire_all(catalog, NOW + HOUR) == [Expired(media=1, uploads=0, contents=1, claims=1)]

    assert catalog.get_many([id], now=NOW + HOUR) == {}
    assert len(catalog.take_garbage(now=NOW + HOUR, limit=9)) == 1


def test_the_later_of_two_ends_holds(catalog: Catalog) -> None:
    id = claim(catalog, b"a", "ann", FileDetails(lifetime=2 * HOUR))
    claim(catalog, b"a", "ann", SHORT)
    found = catalog.claim_of(id, "ann", now=NOW)
    assert found is not None
    assert found.expires_at == NOW + 2 * HOUR
    claim(catalog, b"a", "ann", FileDetails(lifetime=3 * HOUR))
    found = catalog.claim_of(id, "ann", now=NOW)
    assert found is not None
    assert found.expires_at == NOW + 3 * HOUR
    claim(catalog, b"a", "ann", FileDetails())
    found = catalog.claim_of(id, "ann", now=NOW)
    assert found is not None
    assert found.expires_at is None
    claim(catalog, b"a", "ann", SHORT)
    assert catalog.claim_of(id, "ann", now=NOW) == found


def test_a_claim_that_has_ended_begins_anew_and_is_counted_once(catalog: Catalog) -> None:
    id = claim(catalog, b"a", "ann", SHORT)
    claim(catalog, b"a", "bob", FileDetails())
    again = NOW + 2 * HOUR

    assert claim(catalog, b"a", "ann", SHORT, now=again) == id

    assert catalog.claim_of(id, "ann", now=again) == Claim("ann", again, again + HOUR)
    assert expire_all(catalog, again) == []
    assert catalog.usage("ann") == Usage(1, 1)


def test_a_quota_counts_files_with_an_end_as_it_counts_others(catalog: Catalog) -> None:
    one = Quota(files=1)
    claim(catalog, b"a", "ann", SHORT, quota=one)
    with pytest.raises(QuotaExceeded):
        claim(catalog, b"b", "ann", SHORT, quota=one)
    claim(catalog, b"a", "ann", FileDetails("again"), quota=one)
