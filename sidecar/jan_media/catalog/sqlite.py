"""The catalog in one SQLite file: for one machine, any number of threads and processes.

How it keeps the contract
    *All or nothing, and durable.* The journal is in WAL mode and ``synchronous=FULL``:
    a commit returns after the log is on the disk, and the log is replayed after a crash.

    *Many threads and processes.* Every write is one ``BEGIN IMMEDIATE`` transaction, so writers
    follow each other, and what a transaction reads is still true when it writes. That is enough for
    the promises about concurrent calls; there are no other locks. Reads never wait for writers.

    *Waiting in turn.* SQLite's own busy handler sleeps longer and longer, up to a tenth of a
    second, so under load one process can block another for many seconds. Therefore the threads of
    a process queue for its one writing connection. The first of them asks for the file's write
    lock every few milliseconds until `_PATIENCE` is over.

    *Unavailable.* Locked for too long, disk full, file unreadable or not a database: each becomes
    `CatalogUnavailable`, the transaction is rolled back and its connection is closed, so that the
    next call starts with a fresh one.

    *Bounded.* One writing connection and at most `_READERS` reading ones per catalog, opened when
    needed, each used by one thread at a time. There are no threads behind it.

What it needs
    Read and write permission for the file and its folder, where SQLite keeps ``-wal`` and ``-shm``
    beside it. The file is created for its owner only (0600): whoever reads it has every media id.

Beware
    - A network file system does not give WAL the shared memory it needs: use a local disk, and
      PostgreSQL for more than one machine.
    - Copy it with ``sqlite3 catalog.db ".backup copy.db"``, never the file alone while in use:
      the newest commits are in the ``-wal`` file.
    - Open it after a fork, not before: a SQLite connection must not be used by two processes.
"""

import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Semaphore
from typing import Any, TypeVar

from sqlite_utils import Database

from jan_media.catalog.catalog import Catalog
from jan_media.catalog.database import Row, Transaction
from jan_media.catalog.interface import CatalogUnavailable
from jan_media.catalog.migrations import migrate

T = TypeVar("T")

_READERS = 8
_PATIENCE = 6.0  # seconds that a call waits for its turn before `CatalogUnavailable`
_POLL = 0.001, 0.004  # seconds between two attempts to get the file's write lock


class SqliteCatalog(Catalog):
    """A `Catalog` in the SQLite file at ``path``, made if it is not there."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._writer = _Connections(1, self._open_writer)
        self._readers = _Connections(_READERS, self._open)

    def migrate(self) -> None:
        self._create_file()
        with self._writer.one() as db:
            # The file keeps this, so it has an effect only once. It needs exclusive access.
            self._persist(db.enable_wal)
        self._transact(lambda tx: migrate(tx, "sqlite"))

    def close(self) -> None:
        self._writer.close()
        self._readers.close()

    def _read(self, work: Callable[[Transaction], T]) -> T:
        with self._readers.one() as db:
            return work(_Statements(db))

    def _transact(self, work: Callable[[Transaction], T]) -> T:
        with self._writer.one() as db:
            self._persist(lambda: db.execute("BEGIN IMMEDIATE"))
            result = work(_Statements(db))
            db.execute("COMMIT")
            return result

    # --- connections

    def _open(self) -> Database:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",  # never create a file without a schema
            uri=True,
            timeout=_PATIENCE,
            isolation_level=None,  # transactions are begun here, not by the driver
            check_same_thread=False,  # used by one thread at a time, not always the same
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            return Database(connection, execute_plugins=False)
        except BaseException:
            connection.close()
            raise

    def _open_writer(self) -> Database:
        db = self._open()
        db.execute("PRAGMA busy_timeout = 0")  # `_persist` waits instead
        return db

    def _persist(self, attempt: Callable[[], object]) -> None:
        """Repeat an attempt while the file is locked, for up to ``patience`` seconds."""
        give_up_at = time.monotonic() + _PATIENCE
        while True:
            try:
                attempt()
                return
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > give_up_at:
                    raise
            time.sleep(random.uniform(*_POLL))  # noqa: S311 (spreads attempts, protects nothing)

    # --- the file

    def _create_file(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Only a file that does not exist may be opened without SQLite: closing any descriptor
            # of a file drops the locks that this process's connections hold on it (POSIX), and
            # another process could then remove the log that they use.
            with suppress(FileExistsError):
                self._path.touch(0o600, exist_ok=False)
        except OSError as error:
            raise CatalogUnavailable(f"the catalog's file cannot be opened: {error}") from error


class _Connections:
    """Up to ``most`` connections, each used by one thread at a time and opened when needed."""

    def __init__(self, most: int, open: Callable[[], Database]) -> None:
        self._turns = Semaphore(most)
        self._open = open
        self._idle: list[Database] = []
        self._closed = False

    @contextmanager
    def one(self) -> Iterator[Database]:
        """One thread's connection. An error closes it, undoing all. Raises `CatalogUnavailable`."""
        if not self._turns.acquire(timeout=_PATIENCE):
            raise CatalogUnavailable("the catalog has been busy for too long")
        try:
            if self._closed:
                raise CatalogUnavailable("the catalog has been closed")
            try:
                db = self._idle.pop()  # the last one used
            except IndexError:
                db = self._open()
            try:
                yield db
            except BaseException:
                db.close()
                raise
            self._idle.append(db)
            if self._closed:
                self.close()
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError):
            raise  # an error of the caller or of this code, not of the database
        except sqlite3.DatabaseError as error:
            raise CatalogUnavailable(f"the catalog's database failed: {error}") from error
        finally:
            self._turns.release()

    def close(self) -> None:
        """Close the idle connections; the others are closed when they are returned."""
        self._closed = True
        with suppress(IndexError):
            while True:
                self._idle.pop().close()


class _Statements(Transaction):
    """A `Transaction` on one connection; its locks cost nothing, as the module explains."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def rows(self, sql: str, *parameters: Any) -> list[Row]:
        return self._db.execute(sql, parameters).fetchall()

    def change(self, sql: str, *parameters: Any) -> int:
        return self._db.execute(sql, parameters).rowcount

    def run_script(self, sql: str) -> None:
        self._db.executescript(sql)  # unlike sqlite3's own, this does not commit

    def insert(self, table: str, **row: Any) -> None:
        self._db.table(table).insert(row)

    def has_table(self, name: str) -> bool:
        return bool(self._db.table(name).exists())

    def lock(self, names: Sequence[str]) -> None:
        pass
