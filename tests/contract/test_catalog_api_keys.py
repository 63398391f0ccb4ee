"""What every catalog promises about API keys."""

import hashlib

import pytest
from jan_media.catalog.api_keys import ApiKeys
from jan_media.catalog.interface import ApiKey

NOW = 1_800_000_000_000


def new_key(
    id: str,
    *,
    prefix: str = "sk_abcd",
    owner: str = "ann",
    created_at: int = NOW,
    expires_at: int | None = None,
) -> ApiKey:
    return ApiKey(
        id=id,
        prefix=prefix,
        key_hash=hashlib.sha256(id.encode()).hexdigest(),
        owner=owner,
        groups=("jan-users", 'a "quoted", group'),
        created_at=created_at,
        expires_at=expires_at,
        revoked_at=None,
    )


def test_a_stored_key_is_found_by_its_hash(catalog: ApiKeys) -> None:
    key = new_key("one", expires_at=NOW + 1)

    catalog.add_api_key(key)

    assert catalog.find_api_key(key.key_hash) == key
    assert catalog.find_api_key("0" * 64) is None


def test_an_id_or_a_hash_is_stored_once(catalog: ApiKeys) -> None:
    key = new_key("one")
    catalog.add_api_key(key)
    other = new_key("two")

    for twin in (
        new_key("one", owner="bob"),
        ApiKey("two", "p", key.key_hash, "bob", (), NOW, None, None),
    ):
        with pytest.raises(ValueError, match="already"):
            catalog.add_api_key(twin)

    assert catalog.find_api_key(key.key_hash) == key
    assert catalog.find_api_key(other.key_hash) is None


def test_keys_are_listed_by_age_owner_and_prefix(catalog: ApiKeys) -> None:
    young = new_key("young", prefix="sk_a%b_1", created_at=NOW + 2)
    old = new_key("old", prefix="sk_a%b_2", created_at=NOW)
    bobs = new_key("bobs", prefix="sk_aXbY1", owner="bob", created_at=NOW + 1)
    for key in (young, old, bobs):
        catalog.add_api_key(key)

    assert catalog.list_api_keys() == [old, bobs, young]
    assert catalog.list_api_keys(owner="ann") == [old, young]
    assert catalog.list_api_keys(prefix="sk_a%b_") == [old, young]  # no wildcards
    assert catalog.list_api_keys(prefix=old.prefix) == [old]
    assert catalog.list_api_keys(prefix="sk_a", owner="bob") == [bobs]
    assert catalog.list_api_keys(prefix="SK_A") == []


def test_a_key_is_revoked_once_and_still_found(catalog: ApiKeys) -> None:
    key = new_key("one")
    catalog.add_api_key(key)

    assert catalog.revoke_api_key("one", now=NOW + 1)
    assert not catalog.revoke_api_key("one", now=NOW + 2)
    assert not catalog.revoke_api_key("never-heard-of", now=NOW)

    found = catalog.find_api_key(key.key_hash)
    assert found is not None
    assert found.revoked_at == NOW + 1
