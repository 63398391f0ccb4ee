"""The catalog in one SQLite file: for one machine, any number of threads and processes.

How it keeps the contract
    *Done whole or not at all, and durable.* The journal is in WAL mode and ``synchronous=FULL``:
    a commit returns after the log is on the disk, and the log is replayed after a crash.

    *Many threads and processes.* Every write is one ``BEGIN IMMEDIATE`` transaction, so writers
    follow each other and what a transaction reads is still true when it writes. That alone keeps
    the promises about concurrent calls; there are no further locks. Reads never wait for writers.

    *Waiting in turn.* SQLite's own busy handler sleeps longer and longer, up to a tenth of a
    second, so under load one process can keep another out for many seconds. Therefore the threads
    of a process queue for its one writing connection, in order of arrival. The first of them asks
    for the file's write lock every few milliseconds until ``patience`` is over.

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

import os
import random
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Any, TypeVar

from sqlite_utils import Database

from jan_media.catalog.interface import CatalogUnavailable
from jan_media.catalog.migrations import migrations_after
from jan_media.catalog.sql import SqlCatalog, Transaction

T = TypeVar("T")

_READERS = 8
_POLL = 0.001, 0.004  # seconds between two attempts to get the file's write lock


class SqliteCatalog(SqlCatalog):
    """A `Catalog` and `ApiKeys` in the SQLite file at ``path``, made if it is not there.

    ``patience`` is how many seconds a call waits for its turn before `CatalogUnavailable`.
    """

    def __init__(self, path: str | Path, *, patience: float = 6.0) -> None:
        self._path = Path(path)
        self._patience = patience
        self._turn = _Turnstile()
        self._writer: Database | None = None
        self._readers = BoundedSemaphore(_READERS)
        self._idle: list[Database] = []
        self._closing = Lock()  # guards _idle and _closed
        self._closed = False

    def migrate(self) -> None:
        with _unavailable_on_database_error():
            self._create_file()
            with self._writing() as db:
                self._switch_to_wal(db)
                self._begin(db)
                for step in migrations_after(_schema_version(db), "sqlite"):
                    for statement in _statements(step.sql):
                        db.execute(statement)
                    db.execute("UPDATE schema_version SET version = ?", [step.version])
                db.execute("COMMIT")

    def schema_version(self) -> int:
        with _unavailable_on_database_error(), self._reading() as db:
            return _schema_version(db)

    def close(self) -> None:
        with self._turn.waiting(self._patience), self._closing:
            self._closed = True
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            while self._idle:
                self._idle.pop().close()

    def _read(self, work: Callable[[Transaction], T]) -> T:
        with _unavailable_on_database_error(), self._reading() as db:
            return work(_Statements(db))

    def _write(self, work: Callable[[Transaction], T]) -> T:
        with _unavailable_on_database_error(), self._writing() as db:
            self._begin(db)
            result = work(_Statements(db))
            db.execute("COMMIT")
            return result

    # --- connections

    @contextmanager
    def _writing(self) -> Iterator[Database]:
        """The writing connection, for one thread at a time. An error closes it, undoing all."""
        with self._turn.waiting(self._patience):
            db = self._writer or self._open(busy_handler=False)
            self._writer = None
            with _closing_on_error(db):
                yield db
            self._writer = db

    @contextmanager
    def _reading(self) -> Iterator[Database]:
        if not self._readers.acquire(timeout=self._patience):
            raise CatalogUnavailable("the catalog has been busy for too long")
        try:
            with self._closing:
                idle = self._idle.pop() if self._idle else None
            db = idle or self._open()
            with _closing_on_error(db):
                yield db
            with self._closing:
                if not self._closed:
                    self._idle.append(db)
                    return
            db.close()
        finally:
            self._readers.release()

    def _open(self, *, busy_handler: bool = True) -> Database:
        if self._closed:
            raise CatalogUnavailable("the catalog has been closed")
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",  # never make a file without a schema
            uri=True,
            timeout=self._patience,
            isolation_level=None,  # transactions are begun here, not by the driver
            check_same_thread=False,  # used by one thread at a time, not always the same
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            if not busy_handler:
                connection.execute("PRAGMA busy_timeout = 0")
            return Database(connection, execute_plugins=False)
        except BaseException:
            connection.close()
            raise

    def _begin(self, db: Database) -> None:
        self._persist(lambda: db.execute("BEGIN IMMEDIATE"))

    def _persist(self, attempt: Callable[[], object]) -> None:
        """Repeat an attempt that finds the file locked, until patience is over."""
        give_up_at = time.monotonic() + self._patience
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
            # Only a file that is not there may be opened past SQLite: closing any descriptor of
            # a file drops the locks that this process's connections hold on it (POSIX), and
            # another process would then take the log away from under them.
            with suppress(FileExistsError):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError as error:
            raise CatalogUnavailable(f"the catalog's file cannot be opened: {error}") from error

    def _switch_to_wal(self, db: Database) -> None:
        # Kept in the file, so this does something once. It needs the file for itself.
        self._persist(db.enable_wal)


class _Statements:
    """A `Transaction` on one connection; its locks cost nothing, as the module explains."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._db.execute(sql, parameters).fetchall()

    def hold(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.rows(sql, *parameters)

    def change(self, sql: str, *parameters: Any) -> int:
        return self._db.execute(sql, parameters).rowcount

    def insert(self, table: str, **row: Any) -> None:
        self._db.table(table).insert(row)

    def insert_new(self, table: str, **row: Any) -> bool:
        # Not insert(ignore=True), which looks for the rowid of what was there: ours have none.
        marks = ", ".join(f":{name}" for name in row)
        sql = f"INSERT OR IGNORE INTO {table} ({', '.join(row)}) VALUES ({marks})"  # noqa: S608
        return self._db.execute(sql, row).rowcount == 1

    def lock(self, names: Sequence[str]) -> None:
        pass


class _Turnstile:
    """Lets one thread pass at a time, in order of arrival."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._busy = False
        self._queue: deque[Lock] = deque()

    @contextmanager
    def waiting(self, seconds: float) -> Iterator[None]:
        """Pass when it is one's turn. Raises `CatalogUnavailable` after ``seconds``."""
        self._enter(seconds)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, seconds: float) -> None:
        with self._guard:
            if not self._busy:
                self._busy = True
                return
            called = Lock()
            called.acquire()
            self._queue.append(called)
        if called.acquire(timeout=seconds):
            return
        with self._guard:
            if called in self._queue:
                self._queue.remove(called)
                raise CatalogUnavailable("the catalog has been busy for too long")
        # Called in the very moment of giving up: the turn is ours.

    def _leave(self) -> None:
        with self._guard:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._busy = False


@contextmanager
def _closing_on_error(db: Database) -> Iterator[None]:
    try:
        yield
    except BaseException:
        db.close()
        raise


@contextmanager
def _unavailable_on_database_error() -> Iterator[None]:
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError):
        raise  # a mistake of the caller or of this code, not of the database
    except sqlite3.DatabaseError as error:
        raise CatalogUnavailable(f"the catalog's database failed: {error}") from error


def _schema_version(db: Database) -> int:
    if "schema_version" not in db.table_names():
        return 0
    ((version,),) = db.execute("SELECT version FROM schema_version").fetchall()
    return int(version)


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, since `executescript` would commit between them."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
