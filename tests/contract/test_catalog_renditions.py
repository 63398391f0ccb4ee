"""What every catalog promises about renditions."""

from dataclasses import replace

import pytest
from jan_media.catalog.catalog import Catalog
from jan_media.catalog.interface import IntentLapsed, Rendition

from tests.support.catalogs import content_of, new_key, upload

NOW = 1_800_000_000_000
DAY = 86_400_000
LATER = NOW + 30 * DAY
PNG = b"the bytes of a picture"
SHA256 = content_of(PNG).sha256


def rendition(catalog: Catalog, key: str = "") -> Rendition:
    """A rendition whose key is held."""
    key = key or new_key()
    catalog.intend(key, due_at=NOW + DAY)
    return Rendition(key, "image/jpeg", 9, 4, 3)


def due(catalog: Catalog, now: int = NOW) -> list[str]:
    return catalog.take_garbage(now=now, limit=1000)


def test_a_rendition_is_found_by_its_content_and_its_limits(catalog: Catalog) -> None:
    upload(catalog, PNG, now=NOW, expires_at=LATER)
    made = rendition(catalog)
    assert catalog.renditions([SHA256]) == {}
    assert catalog.keep_rendition(SHA256, "small", made, now=NOW) == made
    assert catalog.renditions([SHA256, "0" * 64]) == {(SHA256, "small"): made}
    assert due(catalog, LATER - DAY) == []


def test_that_a_content_fits_or_cannot_be_made_to_is_kept_too(catalog: Catalog) -> None:
    upload(catalog, PNG, now=NOW, expires_at=LATER)
    fits = Rendition("", "image/png", 22, 4, 3)
    refused = Rendition("", "image/png", 0, failure_code="invalid_media", failure_message="no")
    catalog.keep_rendition(SHA256, "small", fits, now=NOW)
    catalog.keep_rendition(SHA256, "large", refused, now=NOW)
    kept = {(SHA256, "small"): fits, (SHA256, "large"): refused}
    assert catalog.renditions([SHA256]) == kept


def test_the_first_rendition_stays_and_the_key_of_a_later_one_goes(catalog: Catalog) -> None:
    upload(catalog, PNG, now=NOW, expires_at=LATER)
    first, second = rendition(catalog), rendition(catalog)
    catalog.keep_rendition(SHA256, "small", first, now=NOW)
    assert catalog.keep_rendition(SHA256, "small", second, now=NOW) == first
    assert due(catalog) == [second.storage_key]
    assert catalog.keep_rendition(SHA256, "small", first, now=NOW) == first  # said again
    assert due(catalog) == [second.storage_key]


def test_renditions_go_with_the_last_claim_on_their_content(catalog: Catalog) -> None:
    media = upload(catalog, PNG, now=NOW, expires_at=LATER).media
    upload(catalog, PNG, "bob", now=NOW, expires_at=LATER)
    due(catalog)
    made = rendition(catalog)
    catalog.keep_rendition(SHA256, "small", made, now=NOW)
    fits = Rendition("", "image/png", 22)
    catalog.keep_rendition(SHA256, "large", fits, now=NOW)
    catalog.release(media.id, "ann", now=NOW)
    assert catalog.renditions([SHA256]) == {(SHA256, "small"): made, (SHA256, "large"): fits}
    assert catalog.renditions([SHA256], "large") == {(SHA256, "large"): fits}
    catalog.release(media.id, "bob", now=NOW)
    assert catalog.renditions([SHA256]) == {}
    assert {media.storage_key, made.storage_key} <= {*due(catalog)}


def test_renditions_go_with_the_retention_of_their_content(catalog: Catalog) -> None:
    media = upload(catalog, PNG, now=NOW, expires_at=LATER).media
    made = rendition(catalog)
    catalog.keep_rendition(SHA256, "small", made, now=NOW)
    assert catalog.expire(now=LATER + 1, limit=10).contents == 1
    assert {*due(catalog, LATER + 1)} == {media.storage_key, made.storage_key}


def test_a_rendition_of_a_content_that_is_gone_is_not_kept(catalog: Catalog) -> None:
    made = rendition(catalog)
    assert catalog.keep_rendition(SHA256, "small", made, now=NOW) is None
    assert due(catalog) == [made.storage_key]


def test_a_key_that_a_sweep_has_taken_is_not_kept(catalog: Catalog) -> None:
    upload(catalog, PNG, now=NOW, expires_at=LATER)
    made = rendition(catalog)
    assert due(catalog, NOW + DAY) == [made.storage_key]
    with pytest.raises(IntentLapsed):
        catalog.keep_rendition(SHA256, "small", made, now=NOW + DAY)
    assert catalog.renditions([SHA256]) == {}
    other = replace(made, storage_key=rendition(catalog).storage_key)
    assert catalog.keep_rendition(SHA256, "small", other, now=NOW + DAY) == other


def test_a_rendition_can_be_forgotten_and_made_anew(
    catalog: Catalog,
) -> None:
    upload(catalog, PNG, now=NOW, expires_at=LATER)
    small, refused = rendition(catalog), Rendition("", "image/png", 0, failure_code="invalid_media")
    catalog.keep_rendition(SHA256, "small", small, now=NOW)
    catalog.keep_rendition(SHA256, "large", refused, now=NOW)
    catalog.drop_rendition(SHA256, "small", now=NOW)
    catalog.drop_rendition(SHA256, "unknown", now=NOW)
    assert catalog.renditions([SHA256]) == {(SHA256, "large"): refused}
    assert due(catalog) == [small.storage_key]
    again = rendition(catalog)
    assert catalog.keep_rendition(SHA256, "small", again, now=NOW) == again
