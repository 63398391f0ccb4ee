"""API keys, kept in a real catalog."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jan_media.catalog.sqlite import SqliteCatalog
from jan_media.identity.api_keys import PREFIX_LENGTH, make_key, valid_key

NOW = 1_700_000_000_000


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqliteCatalog]:
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    catalog.migrate()
    yield catalog
    catalog.close()


def test_a_new_key_is_good_and_tells_owner_and_groups(catalog: SqliteCatalog) -> None:
    text, made = make_key(catalog, "user_1", ["staff", "trial"], now=NOW)
    found = valid_key(catalog, text, now=NOW)
    assert found == made
    assert (found.owner, found.groups) == ("user_1", ("staff", "trial"))


@pytest.mark.parametrize("name", ["", " robot", "robot\n", "a\r\nX-Jan-Groups: x", "\ud800"])
def test_no_key_is_made_for_a_name_that_gateways_would_not_take(
    catalog: SqliteCatalog, name: str
) -> None:
    with pytest.raises(ValueError, match="an owner is printable"):
        make_key(catalog, name, now=NOW)
    with pytest.raises(ValueError, match="a group is printable"):
        make_key(catalog, "robot", ["staff", name], now=NOW)
    assert catalog.list_api_keys() == []


def test_an_owner_is_as_long_as_a_tokens_subject_may_be(catalog: SqliteCatalog) -> None:
    assert make_key(catalog, "ä" * 127 + "a", now=NOW)[1].owner == "ä" * 127 + "a"
    with pytest.raises(ValueError, match="at most 255 bytes"):
        make_key(catalog, "ä" * 128, now=NOW)


def test_a_key_has_its_documented_form(catalog: SqliteCatalog) -> None:
    text, made = make_key(catalog, "user_1", now=NOW)
    assert re.fullmatch(r"sk_[0-9A-Za-z]{40}", text)
    assert made.prefix == text[:PREFIX_LENGTH]


def test_only_the_hash_is_stored(catalog: SqliteCatalog) -> None:
    text, _ = make_key(catalog, "user_1", now=NOW)
    (stored,) = catalog.list_api_keys()
    assert stored.key_hash == hashlib.sha256(text.encode()).hexdigest()
    assert text not in repr(stored)


def test_keys_never_repeat(catalog: SqliteCatalog) -> None:
    made = [make_key(catalog, "user_1", now=NOW) for _ in range(50)]
    assert len({text for text, _ in made}) == len({key.id for _, key in made}) == 50


def test_an_expired_key_is_not_good(catalog: SqliteCatalog) -> None:
    text, made = make_key(catalog, "user_1", now=NOW, expires_at=NOW + 1000)
    assert valid_key(catalog, text, now=NOW + 999) == made
    assert valid_key(catalog, text, now=NOW + 1000) is None


def test_a_revoked_key_is_not_good(catalog: SqliteCatalog) -> None:
    text, made = make_key(catalog, "user_1", now=NOW)
    other_text, other = make_key(catalog, "user_1", now=NOW)
    assert catalog.revoke_api_key(made.id, now=NOW)
    assert valid_key(catalog, text, now=NOW) is None
    assert valid_key(catalog, other_text, now=NOW) == other


NOWHERE = SqliteCatalog("no/such/folder/catalog.db")  # cannot be asked


def test_a_mistyped_key_is_refused_without_asking_the_catalog(catalog: SqliteCatalog) -> None:
    text, _ = make_key(catalog, "user_1", now=NOW)
    for place in range(3, len(text)):
        other = "a" if text[place] != "a" else "b"
        assert valid_key(NOWHERE, text[:place] + other + text[place + 1 :], now=NOW) is None
    for wrong in ("", "sk_", text[:-1], text + "0", text + "\n", " " + text, text.upper()):
        assert valid_key(NOWHERE, wrong, now=NOW) is None
    assert valid_key(NOWHERE, "sk-" + text[3:], now=NOW) is None


@given(st.text() | st.from_regex(r"sk_[0-9A-Za-zé٣]{40}", fullmatch=True))
def test_invented_keys_are_refused_without_asking_the_catalog(text: str) -> None:
    assert valid_key(NOWHERE, text, now=NOW) is None
