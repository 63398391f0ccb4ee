"""What every catalog promises about its schema."""

import multiprocessing
import sqlite3
import stat
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psycopg
import pytest
from jan_media.catalog import migrations
from jan_media.catalog.interface import CatalogUnavailable, Claim, SchemaTooNew
from jan_media.catalog.migrations import Dialect, steps_of
from jan_media.catalog.open import open_catalog
from jan_media.media_id import new_media_id
from psycopg.sql import SQL, Identifier

from tests.support.catalogs import open_migrated, upload

NOW = 1_800_000_000_000
LATER = NOW + 1
DIALECTS: tuple[Dialect, ...] = ("sqlite", "postgres")


def execute(url: str, sql: str) -> None:
    """Run a statement behind the catalog's back."""
    if url.startswith("sqlite:///"):
        file = sqlite3.connect(url.removeprefix("sqlite:///"))
        with file:
            file.execute(sql)
        file.close()
    else:
        with psycopg.connect(url) as server:
            server.execute(sql)


def migrate_and_upload(url: str, data: bytes) -> str:
    with open_migrated(url) as catalog:
        return upload(catalog, data, now=NOW, expires_at=LATER).media.id


def test_processes_that_start_at_once_on_an_empty_database_all_succeed(
    catalog_url: str,
) -> None:
    contents = [b"content %d" % n for n in range(4)]
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as processes:
        ids = list(processes.map(migrate_and_upload, [catalog_url] * 4, contents))

    with open_migrated(catalog_url) as catalog:
        assert set(catalog.get_many(ids, now=NOW)) == set(ids)


def test_a_database_that_names_no_encoding_holds_any_name(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as server:
        name = f"{server.info.dbname}_ascii"
        made = "CREATE DATABASE {} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"
        server.execute(SQL(made).format(Identifier(name)))
    url = postgres_url.replace(postgres_url.rpartition("/")[2], name)
    with open_migrated(url) as catalog:
        uploaded = upload(catalog, b"content", "Zoë 木", now=NOW, expires_at=LATER).media
        assert catalog.get_many([uploaded.id], now=NOW)[uploaded.id] == uploaded
        assert catalog.records([uploaded.id], now=NOW)[uploaded.id].owners == ("Zoë 木",)


def test_migrating_again_keeps_everything(catalog_url: str) -> None:
    id = migrate_and_upload(catalog_url, b"content")

    with open_migrated(catalog_url) as catalog:
        catalog.migrate()
        assert id in catalog.get_many([id], now=NOW)


def test_claims_of_the_version_before_keep_their_dates_and_it_may_go_on_writing(
    catalog_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as as_before:
        migrate_to(3, catalog_url, as_before)
    old = new_media_id(NOW)
    for sql in statements_of_version_3(old, "ann"):
        execute(catalog_url, sql)

    with open_migrated(catalog_url) as catalog:
        assert catalog.claim_of(old, "ann", now=NOW) == Claim("ann", NOW)

        # A sidecar that has not been replaced yet claims as it did.
        before = time.time() * 1000
        execute(catalog_url, f"INSERT INTO claims (owner, id) VALUES ('bob', '{old}')")
        after = time.time() * 1000

        bobs = catalog.claim_of(old, "bob", now=NOW)
        assert bobs is not None
        assert before - 2 <= bobs.created_at <= after + 2
        assert bobs == Claim("bob", bobs.created_at)
        (own,) = catalog.list_owned("bob", now=NOW, limit=9).items
        assert own.media.id == old


def test_files_of_the_version_before_are_listed_by_purpose_and_it_may_go_on_writing(
    catalog_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as as_before:
        migrate_to(4, catalog_url, as_before)
    old, promised = new_media_id(NOW), new_media_id(NOW)
    for sql in statements_of_version_3(old, "ann"):
        execute(catalog_url, sql)

    with open_migrated(catalog_url) as catalog:

        def listed(owner: str, purpose: str) -> list[str]:
            found = catalog.list_owned(owner, now=NOW, limit=9, purpose=purpose)
            return [each.media.id for each in found.items]

        assert listed("ann", "vision") == [old]

        # A sidecar that has not been replaced yet does as it did: a claim, a purpose that is told
        # later, a direct upload that gets ready.
        for sql in (
            f"INSERT INTO claims (owner, id) VALUES ('bob', '{old}')",
            f"UPDATE claims SET purpose = 'user_data' WHERE owner = 'ann' AND id = '{old}'",
            "INSERT INTO media (id, state, created_at, expires_at)"
            f" VALUES ('{promised}', 'pending', {NOW}, {LATER})",
            f"INSERT INTO claims (owner, id) VALUES ('cid', '{promised}')",
        ):
            execute(catalog_url, sql)
        assert listed("bob", "vision") == listed("ann", "user_data") == [old]
        assert listed("ann", "vision") == listed("cid", "vision") == []

        execute(
            catalog_url,
            f"UPDATE media SET state = 'ready', sha256 = '{'0' * 64}', place = 2"
            f" WHERE id = '{promised}'",
        )
        assert listed("cid", "vision") == [promised]


def migrate_to(version: int, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a database as the sidecar of that version of the schema did."""
    steps = {dialect: sorted(steps_of(dialect).items())[:version] for dialect in DIALECTS}
    monkeypatch.setattr(migrations, "steps_of", lambda dialect: dict(steps[dialect]))
    catalog = open_catalog(url)
    catalog.migrate()
    catalog.close()


def statements_of_version_3(id: str, owner: str) -> list[str]:
    """How that version wrote what an upload leaves."""
    sha256 = "0" * 64
    return [
        f"INSERT INTO contents VALUES ('{sha256}', 'image/png', 7, 'a-key')",
        "INSERT INTO media (id, state, sha256, place, created_at, expires_at)"
        f" VALUES ('{id}', 'ready', '{sha256}', 1, {NOW}, {LATER})",
        f"INSERT INTO claims (owner, id) VALUES ('{owner}', '{id}')",
        f"INSERT INTO usage VALUES ('{owner}', 7, 1)",
    ]


def test_a_newer_schema_is_refused_and_left_alone(catalog_url: str) -> None:
    id = migrate_and_upload(catalog_url, b"content")
    execute(catalog_url, "UPDATE schema_version SET version = 1000000")
    catalog = open_catalog(catalog_url)

    with pytest.raises(SchemaTooNew, match="upgrade the sidecar"):
        catalog.migrate()

    assert id in catalog.get_many([id], now=NOW)
    catalog.close()


def test_a_database_without_a_schema_fails_its_check(catalog_url: str) -> None:
    catalog = open_catalog(catalog_url)
    with pytest.raises(CatalogUnavailable):
        catalog.check()
    catalog.close()


def test_both_databases_have_the_same_versions() -> None:
    sqlite, postgres = sorted(steps_of("sqlite")), sorted(steps_of("postgres"))

    assert sqlite == postgres == list(range(1, len(sqlite) + 1))


def test_a_sqlite_file_is_made_with_its_folder_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "a folder" / "catalog.db"

    with open_migrated(f"sqlite:///{path}") as catalog:
        upload(catalog, b"content", now=NOW, expires_at=LATER)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    assert set(modes) == {"catalog.db", "catalog.db-wal", "catalog.db-shm"}
    assert set(modes.values()) == {0o600}


# --- which database a URL names


def test_a_postgresql_url_may_name_a_schema_of_its_own(postgres_url: str) -> None:
    execute(postgres_url, "CREATE SCHEMA media_of_jan")

    with open_migrated(f"{postgres_url}?options=-csearch_path%3Dmedia_of_jan") as catalog:
        upload(catalog, b"content", now=NOW, expires_at=LATER)

    execute(postgres_url, "SELECT count(*) FROM media_of_jan.media")


def test_three_slashes_are_a_relative_sqlite_path_and_four_an_absolute_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///relative.db", f"sqlite:///{tmp_path}/absolute.db"):
        with open_migrated(url):
            pass

    assert {path.name for path in tmp_path.glob("*.db")} == {"relative.db", "absolute.db"}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "catalog.db",
        "sqlite://catalog.db",
        "sqlite:///",
        "sqlite:///folder/",
        "sqlite:///:memory:",
        "mysql://user:hunter2@host/database",
        "postgresql://user:hunter2@host/database?no-such-option=1",
    ],
)
def test_another_url_is_refused_by_naming_what_is_accepted(url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite:///.*postgresql://") as refusal:
        open_catalog(url)

    assert "hunter2" not in str(refusal.value)
