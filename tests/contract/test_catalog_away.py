"""What every catalog promises while its database is down, hangs or is killed, and afterwards."""

import multiprocessing
import os
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest
from jan_media.catalog.catalog import Catalog
from jan_media.catalog.interface import CatalogUnavailable, Claim
from jan_media.catalog.postgres import CONNECTIONS, PostgresCatalog, _lock_key
from jan_media.catalog.sqlite import SqliteCatalog
from jan_media.media_id import new_media_id

from tests.support.catalogs import content_of, open_migrated, upload
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until

NOW = 1_800_000_000_000
DAY = 86_400_000
LATER = NOW + 30 * DAY
LIMIT = 10.0  # seconds within which every call has to end


def read(catalog: Catalog) -> object:
    return catalog.get_many([new_media_id(NOW)], now=NOW)


def write(catalog: Catalog) -> object:
    return upload(catalog, os.urandom(8), now=NOW, expires_at=LATER)


CALLS: list[Callable[[Catalog], object]] = [lambda catalog: catalog.check(), read, write]


def assert_unavailable_in_time(call: Callable[[Catalog], object], catalog: Catalog) -> None:
    start = time.monotonic()
    with pytest.raises(CatalogUnavailable):
        call(catalog)
    assert time.monotonic() - start < LIMIT


def assert_every_call_works(catalog: Catalog) -> None:
    for call in CALLS:
        call(catalog)


# --- PostgreSQL


@pytest.fixture
def postgres_catalog(own_postgres_server: PostgresServer) -> Iterator[PostgresCatalog]:
    with open_migrated(own_postgres_server.new_database()) as catalog:
        assert isinstance(catalog, PostgresCatalog)
        yield catalog


@pytest.mark.parametrize("call", CALLS, ids=["check", "read", "write"])
def test_a_stopped_server_is_unavailable_and_its_return_is_noticed_at_once(
    own_postgres_server: PostgresServer,
    postgres_catalog: PostgresCatalog,
    call: Callable[[Catalog], object],
) -> None:
    call(postgres_catalog)

    own_postgres_server.stop()
    assert_unavailable_in_time(call, postgres_catalog)

    own_postgres_server.start()
    assert_every_call_works(postgres_catalog)


@pytest.mark.parametrize("call", CALLS, ids=["check", "read", "write"])
def test_a_frozen_server_is_unavailable_until_it_goes_on(
    own_postgres_server: PostgresServer,
    postgres_catalog: PostgresCatalog,
    call: Callable[[Catalog], object],
) -> None:
    call(postgres_catalog)

    own_postgres_server.freeze()
    assert_unavailable_in_time(call, postgres_catalog)

    own_postgres_server.thaw()
    assert_every_call_works(postgres_catalog)


def test_a_restart_between_two_calls_is_not_noticed(
    own_postgres_server: PostgresServer, postgres_catalog: PostgresCatalog
) -> None:
    # Several connections in the pool, all of them broken by the restart.
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, [postgres_catalog] * 32))

    own_postgres_server.stop()
    own_postgres_server.start()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, [postgres_catalog] * 32))


def test_a_catalog_opened_while_the_server_is_away_works_once_it_is_there(
    own_postgres_server: PostgresServer,
) -> None:
    url = own_postgres_server.new_database()
    own_postgres_server.stop()
    catalog = PostgresCatalog(url)
    try:
        assert_unavailable_in_time(PostgresCatalog.migrate, catalog)  # type: ignore[arg-type]

        own_postgres_server.start()
        catalog.migrate()
        assert_every_call_works(catalog)
    finally:
        catalog.close()


def test_a_content_that_is_locked_for_long_keeps_no_other_from_being_committed(
    own_postgres_server: PostgresServer, postgres_catalog: PostgresCatalog
) -> None:
    datas = [b"content %d" % number for number in range(8)]
    key = _lock_key(f"content:{content_of(datas[0]).sha256}")
    sent = partial(upload, postgres_catalog, now=NOW, expires_at=LATER)

    with ThreadPoolExecutor(8) as threads, psycopg.connect(postgres_catalog._url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [key])
        locked, *free = [threads.submit(sent, data) for data in datas]
        assert not any(each.result(LIMIT).deduped for each in free)
        other.rollback()
        with suppress(CatalogUnavailable):  # its own patience may be over by now
            locked.result(LIMIT)
    assert sent(datas[0]).media.bytes == len(datas[0])


def test_outages_under_load_leak_no_threads_no_files_and_no_connections(
    own_postgres_server: PostgresServer,
) -> None:
    url = own_postgres_server.new_database()
    with open_migrated(url) as catalog, ThreadPoolExecutor(12) as clients:
        assert isinstance(catalog, PostgresCatalog)

        def call_until(stopped: threading.Event, failed: threading.Event) -> None:
            while not stopped.is_set():
                try:
                    write(catalog)
                except CatalogUnavailable:
                    failed.set()

        def outage(end: Callable[[], None]) -> None:
            stopped = threading.Event()
            failed = [threading.Event() for _ in range(12)]
            running = [clients.submit(call_until, stopped, event) for event in failed]
            end()
            assert all(event.wait(LIMIT) for event in failed), "a client never noticed"
            own_postgres_server.start()
            stopped.set()
            for client in running:
                client.result(LIMIT)
            list(clients.map(write, [catalog] * 24))
            open_every_connection()

        def open_every_connection() -> None:
            """So many as it may have, none of them dead: writes that gather use fewer."""
            all_at_once = threading.Barrier(CONNECTIONS)
            held = [
                clients.submit(catalog._read, lambda _: all_at_once.wait(LIMIT))
                for _ in range(CONNECTIONS)
            ]
            for each in held:
                each.result(LIMIT)

        outage(own_postgres_server.stop)
        threads, files = threading.active_count(), open_files()
        for end in (own_postgres_server.crash, own_postgres_server.stop):
            outage(end)

        assert threading.active_count() <= threads
        assert open_files() <= files
        assert own_postgres_server.connections(url) <= 8


def test_closing_ends_the_threads_and_the_connections(
    own_postgres_server: PostgresServer,
) -> None:
    threads, files = threading.active_count(), open_files()
    url = own_postgres_server.new_database()
    with open_migrated(url) as catalog:
        write(catalog)
        assert own_postgres_server.connections(url) >= 1

    wait_until(lambda: own_postgres_server.connections(url) == 0)
    assert threading.active_count() == threads
    assert open_files() == files


def test_a_lock_held_for_too_long_is_unavailable_and_nothing_has_changed(
    postgres_url: str,
) -> None:
    with open_migrated(postgres_url) as catalog, psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE garbage IN EXCLUSIVE MODE")

        assert_unavailable_in_time(write, catalog)
        read(catalog)

        other.rollback()
        assert catalog.counts()["garbage"] == 0
        write(catalog)


def test_a_frozen_server_undoes_what_was_not_committed(
    own_postgres_server: PostgresServer, postgres_catalog: PostgresCatalog
) -> None:
    write(postgres_catalog)
    own_postgres_server.freeze()
    content = content_of(b"content")
    assert_unavailable_in_time(
        lambda catalog: catalog.claim_known(content, Claim("ann", NOW), expires_at=LATER),
        postgres_catalog,
    )
    own_postgres_server.thaw()

    # The content's lock was given back with the broken connection.
    claimed = upload(postgres_catalog, b"content", now=NOW, expires_at=LATER)
    assert not claimed.deduped


def test_what_was_acknowledged_survives_a_crash_of_the_server(
    own_postgres_server: PostgresServer, postgres_catalog: PostgresCatalog
) -> None:
    acknowledged: list[str] = []

    def upload_until_it_fails(client: int) -> None:
        for n in range(100_000):
            try:
                claimed = upload(
                    postgres_catalog, b"content %d/%d" % (client, n), now=NOW, expires_at=LATER
                )
            except CatalogUnavailable:
                return
            acknowledged.append(claimed.media.id)

    with ThreadPoolExecutor(4) as clients:
        running = clients.map(upload_until_it_fails, range(4))
        wait_until(lambda: len(acknowledged) >= 20)
        own_postgres_server.crash()
        list(running)
    own_postgres_server.start()

    assert set(postgres_catalog.get_many(acknowledged, now=NOW)) == set(acknowledged)


def test_a_server_that_does_not_wait_for_its_disk_is_told_to(postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2]
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        server.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = serializable")

    with open_migrated(postgres_url) as catalog:
        settings = catalog._transact(
            lambda tx: tx.rows(
                "SELECT current_setting('synchronous_commit'),"
                " current_setting('transaction_isolation')"
            )
        )

    assert settings == [("on", "read committed")]


# --- SQLite


@contextmanager
def locked_by_another(path: Path) -> Iterator[None]:
    """Somebody else keeps the file's write lock."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    path = tmp_path / "catalog.db"
    with open_migrated(f"sqlite:///{path}"):
        return path


def test_a_file_locked_for_too_long_is_unavailable_for_writes_only(
    sqlite_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jan_media.catalog.sqlite._PATIENCE", 1.0)
    catalog = SqliteCatalog(sqlite_path)
    with locked_by_another(sqlite_path):
        start = time.monotonic()
        with ThreadPoolExecutor(4) as threads:  # they wait side by side, not in line
            waiting = [threads.submit(write, catalog) for _ in range(4)]
            assert all(isinstance(waited.exception(), CatalogUnavailable) for waited in waiting)
        assert time.monotonic() - start < 3.5  # in line it would be four seconds
        read(catalog)
        catalog.check()

    assert catalog.counts()["garbage"] == 0
    assert_every_call_works(catalog)
    catalog.close()


def test_the_usual_patience_ends_within_the_time_limit(sqlite_path: Path) -> None:
    catalog = SqliteCatalog(sqlite_path)
    with locked_by_another(sqlite_path):
        assert_unavailable_in_time(write, catalog)
    catalog.close()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    path.write_bytes(b"this is a letter to my aunt" * 1000)
    catalog = SqliteCatalog(path)

    assert_unavailable_in_time(SqliteCatalog.migrate, catalog)  # type: ignore[arg-type]
    assert_unavailable_in_time(read, catalog)

    assert path.read_bytes() == b"this is a letter to my aunt" * 1000
    catalog.close()


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    catalog = SqliteCatalog(tmp_path / "file" / "catalog.db")

    assert_unavailable_in_time(SqliteCatalog.migrate, catalog)  # type: ignore[arg-type]
    catalog.close()


def write_on_a_full_disk(path: Path) -> tuple[bool, int, int]:
    """Whether a write was unavailable, and the media counted after it and after the next one."""
    with open_migrated(f"sqlite:///{path}") as catalog:
        write(catalog)
        # No file may grow beyond the size that the log has now.
        size = path.with_name(f"{path.name}-wal").stat().st_size
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
        try:
            write(catalog)
            unavailable = False
        except CatalogUnavailable:
            unavailable = True
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        after = catalog.counts()["media"]
        write(catalog)
        return unavailable, after, catalog.counts()["media"]


def test_a_full_disk_is_unavailable_until_there_is_room(sqlite_path: Path) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        outcome = process.submit(write_on_a_full_disk, sqlite_path).result()

    assert outcome == (True, 1, 2)


def test_threads_come_and_go_without_leaving_connections_behind(sqlite_path: Path) -> None:
    before = open_files()
    catalog = SqliteCatalog(sqlite_path)
    for _ in range(5):
        with ThreadPoolExecutor(24) as threads:
            list(threads.map(read, [catalog] * 96))
            list(threads.map(write, [catalog] * 48))
    # Each connection has the file, its log and, once per process, their index.
    assert open_files() - before <= 2 * (8 + 1) + 1

    catalog.close()
    assert open_files() == before


# --- both: a sidecar that is killed


KILLED = """
import sys
from concurrent.futures import ThreadPoolExecutor
from tests.support.catalogs import open_migrated, upload
from tests.support.waiting import wait_until
url, now, later, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
with open_migrated(url) as catalog:
    def run(thread):
        for n in range(100_000):
            data = f"content {seed}/{thread}/{n}".encode()
            claimed = upload(catalog, data, now=now, expires_at=later)
            sys.stdout.write(f"{claimed.media.id} {claimed.media.storage_key}\\n")
            sys.stdout.flush()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(run, range(4)))
"""


def test_a_killed_sidecar_leaves_what_it_acknowledged_and_garbage_only(
    catalog_url: str,
) -> None:
    acknowledged: dict[str, str] = {}
    for attempt in range(3):
        sidecar = subprocess.Popen(
            [sys.executable, "-c", KILLED, catalog_url, str(NOW), str(LATER), str(attempt)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert sidecar.stdout is not None
        lines = [sidecar.stdout.readline() for _ in range(40)]
        sidecar.kill()
        lines += sidecar.stdout.read().splitlines(keepends=True)
        sidecar.wait()
        sidecar.stdout.close()
        for line in lines:
            if line.endswith("\n"):  # not cut off by the kill
                id, key = line.split()
                acknowledged[id] = key

    with open_migrated(catalog_url) as catalog:
        found = catalog.get_many(list(acknowledged), now=NOW)
        assert {id: media.storage_key for id, media in found.items()} == acknowledged
        garbage = set(catalog.take_garbage(now=LATER, limit=1000))
        assert garbage.isdisjoint(acknowledged.values())
        # Nothing else is there but what was committed in the very moment of the kill.
        assert catalog.counts()["contents"] - len(acknowledged) in range(3 * 4 + 1)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
