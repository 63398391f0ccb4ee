"""API keys, kept in a real catalog."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jan_media.catalog.sqlite import SqliteCatalog
from jan_media.identity.api_keys import PREFIX_LENGTH, ApiKeyring

NOW = 1_700_000_000_000


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqliteCatalog]:
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    catalog.migrate()
    yield catalog
    catalog.close()


@pytest.fixture
def keyring(catalog: SqliteCatalog) -> ApiKeyring:
    return ApiKeyring(catalog)


def test_a_new_key_is_good_and_tells_owner_and_groups(keyring: ApiKeyring) -> None:
    made = keyring.create("user_1", ["staff", "trial"], now=NOW)
    found = keyring.verify(made.text, NOW)
    assert found == made.record
    assert (found.owner, found.groups) == ("user_1", ("staff", "trial"))


@pytest.mark.parametrize("name", ["", " robot", "robot\n", "a\r\nX-Jan-Groups: x", "\ud800"])
def test_no_key_is_made_for_a_name_that_gateways_would_not_take(
    keyring: ApiKeyring, name: str
) -> None:
    with pytest.raises(ValueError, match="an owner is printable"):
        keyring.create(name, now=NOW)
    with pytest.raises(ValueError, match="a group is printable"):
        keyring.create("robot", ["staff", name], now=NOW)
    assert keyring.list() == []


def test_an_owner_is_as_long_as_a_tokens_subject_may_be(keyring: ApiKeyring) -> None:
    assert keyring.create("ä" * 127 + "a", now=NOW).record.owner == "ä" * 127 + "a"
    with pytest.raises(ValueError, match="at most 255 bytes"):
        keyring.create("ä" * 128, now=NOW)


def test_a_key_has_its_documented_form(keyring: ApiKeyring) -> None:
    made = keyring.create("user_1", now=NOW)
    assert re.fullmatch(r"sk_[0-9A-Za-z]{40}", made.text)
    assert made.record.prefix == made.text[:PREFIX_LENGTH]


def test_only_the_hash_is_stored(keyring: ApiKeyring, catalog: SqliteCatalog) -> None:
    made = keyring.create("user_1", now=NOW)
    (stored,) = catalog.list_api_keys()
    assert stored.key_hash == hashlib.sha256(made.text.encode()).hexdigest()
    assert made.text not in repr(stored)


def test_keys_never_repeat(keyring: ApiKeyring) -> None:
    made = [keyring.create("user_1", now=NOW) for _ in range(50)]
    assert len({key.text for key in made}) == len({key.record.id for key in made}) == 50


def test_an_expired_key_is_not_good(keyring: ApiKeyring) -> None:
    made = keyring.create("user_1", now=NOW, expires_at=NOW + 1000)
    assert keyring.verify(made.text, NOW + 999) == made.record
    assert keyring.verify(made.text, NOW + 1000) is None


def test_a_revoked_key_is_not_good_and_is_revoked_once(keyring: ApiKeyring) -> None:
    made, other = keyring.create("user_1", now=NOW), keyring.create("user_1", now=NOW)
    assert keyring.revoke(made.record.id, now=NOW)
    assert not keyring.revoke(made.record.id, now=NOW)
    assert not keyring.revoke("key_unknown", now=NOW)
    assert keyring.verify(made.text, NOW) is None
    assert keyring.verify(other.text, NOW) == other.record


def test_keys_are_listed_by_how_they_start_and_by_owner(keyring: ApiKeyring) -> None:
    first = keyring.create("user_1", now=NOW)
    second = keyring.create("user_2", now=NOW + 1)
    assert keyring.list() == [first.record, second.record]
    assert keyring.list(owner="user_2") == [second.record]
    assert keyring.list(prefix=first.record.prefix) == [first.record]
    assert keyring.list(prefix=first.text) == [first.record]  # a whole key finds itself too


NOWHERE = SqliteCatalog("no/such/folder/catalog.db")  # cannot be asked


def test_a_mistyped_key_is_refused_without_asking_the_catalog(keyring: ApiKeyring) -> None:
    text = keyring.create("user_1", now=NOW).text
    offline = ApiKeyring(NOWHERE)
    for place in range(3, len(text)):
        other = "a" if text[place] != "a" else "b"
        assert offline.verify(text[:place] + other + text[place + 1 :], NOW) is None
    for wrong in ("", "sk_", text[:-1], text + "0", text + "\n", " " + text, text.upper()):
        assert offline.verify(wrong, NOW) is None
    assert offline.verify("sk-" + text[3:], NOW) is None


@given(st.text() | st.from_regex(r"sk_[0-9A-Za-zé٣]{40}", fullmatch=True))
def test_invented_keys_are_refused_without_asking_the_catalog(text: str) -> None:
    assert ApiKeyring(NOWHERE).verify(text, NOW) is None
