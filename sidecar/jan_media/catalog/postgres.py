"""The catalog on PostgreSQL 13 or later: for any number of sidecars on any number of machines.

How it keeps the contract
    *Done whole or not at all.* Every write is one transaction, at READ COMMITTED whatever the
    server's default: each statement must see what was committed while an earlier one waited for a
    lock. Reads are single statements.

    *Durable.* A commit returns after the server's log is on its disk; a session whose
    ``synchronous_commit`` is off is switched back on. Replication beyond that is the server's.

    *Concurrent calls.* The locks that `jan_media.catalog.sql` describes are transaction-level
    advisory locks, whose 64-bit keys are hashes of what they protect: two that collide wait for
    each other needlessly, nothing else. Rows are held by SELECT … FOR UPDATE. If the server still
    reports a deadlock or a serialisation failure, the transaction runs again from the start.

    *Many uploads at once.* What each begins with, and the commits of first ones, are done for all
    that ask at the same time by one statement: `jan_media.catalog.postgres_uploads`. Such a commit
    takes the locks of all its contents, in their order.

    *In time.* Connecting, waiting for a free connection, waiting for a lock and running a
    statement are bounded each, and every call as a whole by `_READ` or `_WRITE` seconds, on this
    side of the wire: a server that is frozen or unreachable without a sign cannot hold a thread
    for longer. The server rolls such a call back when it finds the connection gone.

    *Unavailable.* Any failure to reach the server or to get an answer becomes
    `CatalogUnavailable`. If the connection broke during COMMIT the change may have been made.

    *Coming back.* A connection is tried before it is given out, and replaced if it is dead, so the
    first call after the server's return works. While the server is away nothing is retried in the
    background for more than a second: no threads or sockets pile up.

What it needs
    A database (better one of its own: the tables have plain names; or a schema of its own, by
    ``?options=-csearch_path%3Djan_media`` in the URL). The role needs CONNECT, USAGE on the
    schema, and SELECT, INSERT, UPDATE, DELETE on the tables; CREATE on the schema too when the
    sidecar is started for the first time or after an upgrade.

Beware
    - A process opens up to ``connections`` connections: with many sidecars and workers mind the
      server's ``max_connections``.
    - Behind PgBouncer use session pooling. Transaction pooling loses the timeouts set here.
    - TLS is the URL's business: ``sslmode=verify-full`` and so on.
    - Use it after a fork, not before: connections and pool threads do not survive one.
"""

import hashlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, TypeVar

import psycopg
from psycopg import IsolationLevel
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool

from jan_media.catalog import postgres_uploads
from jan_media.catalog.interface import CatalogUnavailable, Claimed, Content
from jan_media.catalog.migrations import migrations_after
from jan_media.catalog.postgres_uploads import GO_ALONE, Beginning, Begun, Commit, Committed
from jan_media.catalog.sql import Overtaken, SqlCatalog, Transaction, content_lock
from jan_media.catalog.together import Together
from jan_media.idle_socket import has_news

T = TypeVar("T")

CONNECTIONS = 8  # the most that one process opens

# Seconds.
_CONNECT = 3
_FREE_CONNECTION = 3.5
_LOCK = 3.0
_STATEMENT = 4.0
_READ = 4.0  # below the gateway plugin's patience
_WRITE = 7.0
_MIGRATION = 600.0  # a later step may have to rewrite a big table

_SURELY_ALIVE = 1.0  # after its last answer, unless the connection has been closed

_ATTEMPTS = 5  # of one transaction that the server broke off for another's sake

# Set once per connection. The fourth setting changes nothing unless commits would not be durable.
# Whatever is asked for by its key has an index: a plan made while the tables were small must not
# read them whole for as long as it is kept. JIT would compile the few statements that have to.
_SESSION = """
    SELECT set_config('lock_timeout', %s, false),
           set_config('statement_timeout', %s, false),
           set_config('idle_in_transaction_session_timeout', %s, false),
           set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                      WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false),
           set_config('enable_seqscan', 'off', false),
           set_config('jit', 'off', false)
"""
# For one transaction: another process may be migrating, and a step may take long.
_PATIENT = """
    SELECT set_config('lock_timeout', '0', true), set_config('statement_timeout', '0', true)
"""

_give_up_at: ContextVar[float | None] = ContextVar("give_up_at", default=None)  # monotonic seconds


class PostgresCatalog(SqlCatalog):
    """A `Catalog` and `ApiKeys` in the PostgreSQL database at ``url``.

    Nothing is connected until it is needed; at most ``connections`` are at once.
    """

    def __init__(self, url: str, *, connections: int = CONNECTIONS) -> None:
        self._url = url
        self._pool = _Pool(
            url,
            connection_class=_Connection,
            kwargs={
                "autocommit": True,
                "connect_timeout": _CONNECT,
                "application_name": "jan-media",
                # A peer that vanished without a sign is noticed while data is on its way to it.
                "tcp_user_timeout": int(_WRITE * 1000),
                "keepalives_idle": 30,
            },
            min_size=0,
            max_size=connections,
            timeout=_FREE_CONNECTION,
            reconnect_timeout=1.0,
            max_idle=300.0,
            configure=_configure,
            check=_check,
            num_workers=2,
            name="catalog",
            open=False,
        )
        self._beginnings = Together(self._begin_all)
        self._first_commits = Together(self._commit_all)

    def migrate(self) -> None:
        self._reach()
        with (
            _unavailable_on_database_error(),
            _in_time(_MIGRATION),
            self._pool.connection() as db,
            db.transaction(),
        ):
            db.execute(_PATIENT)
            _Statements(db).lock(["schema"])
            for step in migrations_after(_schema_version(db), "postgres"):
                db.execute(step.sql)
                db.execute("UPDATE schema_version SET version = %s", [step.version])

    def _reach(self) -> None:
        """Connect once, past the pool, which would not tell why it cannot."""
        try:
            psycopg.connect(self._url, connect_timeout=_CONNECT).close()
        except psycopg.OperationalError as error:
            reason = " ".join(str(error).split())
            raise CatalogUnavailable(
                f"PostgreSQL cannot be reached ({reason}): check MEDIA_DATABASE_URL and the server"
            ) from error

    def schema_version(self) -> int:
        with _unavailable_on_database_error(), _in_time(_READ), self._pool.connection() as db:
            return _schema_version(db)

    def close(self) -> None:
        self._pool.close()

    def claim_or_intend(
        self,
        content: Content,
        owner: str,
        storage_key: str,
        *,
        now: int,
        expires_at: int,
        due_at: int,
    ) -> Claimed | None:
        with _in_time(_WRITE) as give_up_at:
            begun = self._beginnings.do(
                Beginning(content, owner, storage_key, now, expires_at, due_at, give_up_at)
            )
            if begun is GO_ALONE:
                return super().claim_or_intend(
                    content, owner, storage_key, now=now, expires_at=expires_at, due_at=due_at
                )
            return begun

    def commit_upload(
        self,
        new_id: str,
        content: Content,
        storage_key: str,
        owner: str,
        *,
        now: int,
        expires_at: int,
    ) -> Claimed:
        with _in_time(_WRITE) as give_up_at:
            committed = self._first_commits.do(
                Commit(new_id, content, storage_key, owner, now, expires_at, give_up_at)
            )
            if committed is GO_ALONE:
                return super().commit_upload(
                    new_id, content, storage_key, owner, now=now, expires_at=expires_at
                )
            return committed

    def _begin_all(self, uploads: Sequence[Beginning]) -> list[Begun]:
        with _until(min(each.give_up_at for each in uploads)):
            return self._persistently(lambda db: postgres_uploads.claim_or_intend(db, uploads))

    def _commit_all(self, commits: Sequence[Commit]) -> list[Committed]:
        with _until(min(each.give_up_at for each in commits)):
            return self._persistently(
                lambda db: postgres_uploads.commit_first(
                    db, commits, lambda sha256: _lock_key(content_lock(sha256))
                )
            )

    def _read(self, work: Callable[[Transaction], T]) -> T:
        with _unavailable_on_database_error(), _in_time(_READ), self._pool.connection() as db:
            return work(_Statements(db))

    def _write(self, work: Callable[[Transaction], T]) -> T:
        def transaction(db: "_Connection") -> T:
            result = work(_Statements(db, begin="BEGIN ISOLATION LEVEL READ COMMITTED"))
            db.commit()
            return result

        return self._persistently(transaction)

    def _write_one(self, sql: str, *parameters: Any) -> int:
        return self._persistently(lambda db: _Statements(db).change(sql, *parameters))

    def _persistently(self, work: "Callable[[_Connection], T]") -> T:
        """Run ``work``; again if the server broke it off for another transaction's sake."""
        with _unavailable_on_database_error(), _in_time(_WRITE):
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    with self._pool.connection() as db:  # rolls back if this fails
                        return work(db)
                except (
                    Overtaken,
                    psycopg.errors.DeadlockDetected,
                    psycopg.errors.SerializationFailure,
                ):
                    time.sleep(random.uniform(0, 0.01 * attempt))  # noqa: S311 (spreads attempts)
            raise CatalogUnavailable("the catalog is too busy: other transactions kept winning")


class _Pool(ConnectionPool["_Connection"]):
    """A pool that opens with its first use, so that a catalog can be made before a fork."""

    def getconn(self, timeout: float | None = None) -> "_Connection":
        self.open()
        return super().getconn(timeout)


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that never waits for the server longer than the call may take."""

    answered_at = 0.0  # monotonic seconds

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        give_up_at = _give_up_at.get()
        if give_up_at is not None:
            timeout = max(0.0, give_up_at - time.monotonic())
        elif timeout is None:
            timeout = _STATEMENT  # the pool's own work
        try:
            answer = super().wait(gen, interval, timeout)
            self.answered_at = time.monotonic()
            return answer
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()  # the answer is still to come: nobody can use this any more
            raise


class _Statements:
    """A `Transaction` on one connection, which ``begin``, if given, begins."""

    def __init__(self, db: _Connection, *, begin: str = "") -> None:
        self._db = db
        self._begin = begin

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._run(sql, parameters).fetchall()

    def hold(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.rows(f"{sql} FOR UPDATE", *parameters)

    def change(self, sql: str, *parameters: Any) -> int:
        return self._run(sql, parameters).rowcount

    def lock(self, names: Sequence[str]) -> None:
        # Most transactions begin with a lock; both go in one message, which takes no parameters
        # and cannot be prepared.
        keys = ",".join(map(str, sorted({_lock_key(name) for name in names})))
        wait = f"SELECT pg_advisory_xact_lock(key) FROM unnest('{{{keys}}}'::bigint[]) key"  # noqa: S608
        self._db.execute(f"{self._begin};{wait}", prepare=False)
        self._begin = ""

    def _run(self, sql: str, parameters: Sequence[Any]) -> psycopg.Cursor[tuple[Any, ...]]:
        if self._begin:
            self._db.execute(self._begin)
            self._begin = ""
        return self._db.execute(_in_postgres(sql), parameters)


def _check(db: _Connection) -> None:
    """Try a connection before it is given out; raise if it is dead.

    One that has just answered, and has not been closed from the other side since, lives.
    """
    if time.monotonic() - db.answered_at > _SURELY_ALIVE or has_news(db.fileno()):
        ConnectionPool.check_connection(db)


def _configure(db: _Connection) -> None:
    db.isolation_level = IsolationLevel.READ_COMMITTED
    milliseconds = [str(int(seconds * 1000)) for seconds in (_LOCK, _STATEMENT, 2 * _WRITE)]
    db.execute(_SESSION, milliseconds)


@contextmanager
def _in_time(seconds: float) -> Iterator[float]:
    """Whatever waits for the server inside must be done within ``seconds``, if not earlier by what
    is around it; gives the end in monotonic seconds."""
    give_up_at = time.monotonic() + seconds
    around = _give_up_at.get()
    with _until(give_up_at if around is None else min(around, give_up_at)) as earlier:
        yield earlier


@contextmanager
def _until(give_up_at: float) -> Iterator[float]:
    token = _give_up_at.set(give_up_at)
    try:
        yield give_up_at
    finally:
        _give_up_at.reset(token)


@contextmanager
def _unavailable_on_database_error() -> Iterator[None]:
    # One that has become a replica refuses writes; one that is being restored has no tables yet.
    away = (
        psycopg.OperationalError,
        psycopg.InterfaceError,
        psycopg.errors.ReadOnlySqlTransaction,
        psycopg.errors.UndefinedTable,
        psycopg.errors.IdleInTransactionSessionTimeout,
    )
    try:
        yield
    except away as error:
        raise CatalogUnavailable(f"the catalog's database failed: {error}") from error


def _schema_version(db: _Connection) -> int:
    ((table,),) = db.execute("SELECT to_regclass('schema_version')::text").fetchall()
    if table is None:
        return 0
    ((version,),) = db.execute("SELECT version FROM schema_version").fetchall()
    return int(version)


@lru_cache(maxsize=1024)
def _in_postgres(sql: str) -> str:
    # The shared statements contain no percent sign and no question mark but the placeholders'.
    return sql.replace("?", "%s")


def _lock_key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
