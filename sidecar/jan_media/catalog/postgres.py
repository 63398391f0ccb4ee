"""The catalog on PostgreSQL 13 or later: for any number of sidecars on any number of machines.

How it keeps the contract
    *Done completely or not at all.* Every write is one transaction, at READ COMMITTED whatever the
    server's default: each statement must see what was committed while an earlier one waited for a
    lock. Reads are single statements.

    *Durable.* A commit returns after the server's log is on its disk; a session whose
    ``synchronous_commit`` is off is switched back on. Replication beyond that is the server's.

    *Concurrent calls.* The locks that `jan_media.catalog.catalog` describes are transaction-level
    advisory locks, whose 64-bit keys are hashes of what they protect: two that collide wait for
    each other needlessly, nothing else. Rows are held by SELECT … FOR UPDATE. If the server still
    reports a deadlock or a serialisation failure, the transaction runs again from the start.

    *In time.* Connecting, waiting for a free connection, waiting for a lock and running a
    statement are bounded each, and every call as a whole by `_READ` or `_WRITE` seconds, on this
    side of the wire: a server that is frozen or unreachable without a sign cannot hold a thread
    for longer. The server rolls such a call back when it finds the connection gone.

    *Unavailable.* Any failure to reach the server or to get an answer becomes
    `CatalogUnavailable`. If the connection broke during COMMIT the change may have been made.

    *Coming back.* The pool tries a connection before it gives it out and replaces it if it is
    dead, so the first call after the server's return works. While the server is away nothing is
    retried in the background for more than a second: no threads or sockets pile up.

What it needs
    A database (better one of its own: the tables have plain names; or a schema of its own, by
    ``?options=-csearch_path%3Djan_media`` in the URL). docs/operations.md says what its role may
    do, how many connections there are, and how to have TLS.

Beware
    - Behind PgBouncer use session pooling. Transaction pooling loses the timeouts set here.
    - Use it after a fork, not before: connections and pool threads do not survive one.
"""

import hashlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import psycopg
from psycopg import IsolationLevel
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool

from jan_media.catalog.catalog import Catalog
from jan_media.catalog.database import Overtaken, Row, Transaction
from jan_media.catalog.interface import CatalogUnavailable
from jan_media.catalog.migrations import migrate

T = TypeVar("T")

CONNECTIONS = 8  # the most that one process opens

# Seconds.
_CONNECT = 3
_FREE_CONNECTION = 3.5
_LOCK = 3.0
_STATEMENT = 4.0
_READ = 4.0  # less than the gateway plugin's timeout
_WRITE = 7.0
_MIGRATION = 600.0  # a later step may have to rewrite a big table

_ATTEMPTS = 5  # of one transaction that the server aborted in favour of another

# Set once per connection. The fourth setting has an effect only if commits would not be durable.
# Every look-up by key has an index: a plan that was cached while the tables were small must not
# scan them for as long as it is cached. JIT would only compile the few statements that do scan.
_SESSION = """
    SELECT set_config('lock_timeout', %s, false),
           set_config('statement_timeout', %s, false),
           set_config('idle_in_transaction_session_timeout', %s, false),
           set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                      WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false),
           set_config('enable_seqscan', 'off', false),
           set_config('jit', 'off', false)
"""
# For one transaction: another process may be migrating, and a migration step may take long.
_PATIENT = """
    SELECT set_config('lock_timeout', '0', true), set_config('statement_timeout', '0', true)
"""

# A server that has become a replica refuses writes; one that is being restored has no tables yet.
_AWAY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.UndefinedTable,
    psycopg.errors.IdleInTransactionSessionTimeout,
)

_give_up_at: ContextVar[float | None] = ContextVar("give_up_at", default=None)  # monotonic seconds


class PostgresCatalog(Catalog):
    """A `Catalog` in the PostgreSQL database at ``url``.

    Nothing is connected until it is needed.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = ConnectionPool(
            url,
            connection_class=_Connection,
            kwargs={
                "autocommit": True,
                "connect_timeout": _CONNECT,
                "application_name": "jan-media",
                # With a database in SQL_ASCII, psycopg would otherwise return bytes for text.
                "client_encoding": "UTF8",
                # Notices a server that vanished silently while data is being sent to it.
                "tcp_user_timeout": int(_WRITE * 1000),
                "keepalives_idle": 30,
            },
            min_size=0,
            max_size=CONNECTIONS,
            timeout=_FREE_CONNECTION,
            reconnect_timeout=1.0,
            max_idle=300.0,
            configure=_configure,
            check=ConnectionPool.check_connection,
            num_workers=2,
            name="catalog",
            open=False,
        )

    def migrate(self) -> None:
        def work(tx: Transaction) -> None:
            tx.run_script(_PATIENT)
            migrate(tx, "postgres")

        self._reach()
        self._transact(work, seconds=_MIGRATION)

    def _reach(self) -> None:
        """Connect once without the pool, which would not tell why it cannot connect."""
        try:
            psycopg.connect(self._url, connect_timeout=_CONNECT).close()
        except psycopg.OperationalError as error:
            reason = " ".join(str(error).split())
            raise CatalogUnavailable(
                f"PostgreSQL cannot be reached ({reason}): check MEDIA_DATABASE_URL and the server"
            ) from error

    def close(self) -> None:
        self._pool.close()

    def _read(self, work: Callable[[Transaction], T]) -> T:
        with self._in_time(_READ), self._pool.connection() as db:
            return work(_Statements(db))

    def _transact(self, work: Callable[[Transaction], T], seconds: float = _WRITE) -> T:
        with self._in_time(seconds):
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    with self._pool.connection() as db, db.transaction():
                        return work(_Statements(db))
                except (
                    Overtaken,
                    psycopg.errors.DeadlockDetected,
                    psycopg.errors.SerializationFailure,
                ):
                    time.sleep(random.uniform(0, 0.01 * attempt))  # noqa: S311 (spreads attempts)
            raise CatalogUnavailable("the catalog is too busy: other transactions kept winning")

    @contextmanager
    def _in_time(self, seconds: float) -> Iterator[None]:
        """Limit all waiting for the server inside the block to ``seconds``.

        Raises `CatalogUnavailable` if that is exceeded, or if the server fails.
        """
        token = _give_up_at.set(time.monotonic() + seconds)
        try:
            self._pool.open()  # at the first use, so that a catalog can be created before a fork
            yield
        except _AWAY as error:
            raise CatalogUnavailable(f"the catalog's database failed: {error}") from error
        finally:
            _give_up_at.reset(token)


class _Connection(psycopg.Connection[Row]):
    """A connection that never waits for the server longer than the call may take."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        give_up_at = _give_up_at.get()
        if give_up_at is not None:
            timeout = max(0.0, give_up_at - time.monotonic())
        elif timeout is None:
            timeout = _STATEMENT  # the pool's own work
        try:
            return super().wait(gen, interval, timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()  # its answer is still to come, so the connection is unusable
            raise


class _Statements(Transaction):
    """A `Transaction` on one connection, or single queries."""

    def __init__(self, db: _Connection) -> None:
        self._db = db

    # The shared statements contain no percent sign and no question mark but the placeholders'.
    def rows(self, sql: str, *parameters: Any) -> list[Row]:
        return self._db.execute(sql.replace("?", "%s"), parameters).fetchall()

    def change(self, sql: str, *parameters: Any) -> int:
        return self._db.execute(sql.replace("?", "%s"), parameters).rowcount

    def run_script(self, sql: str) -> None:
        self._db.execute(sql)

    def has_table(self, name: str) -> bool:
        return self.rows("SELECT to_regclass(?) IS NOT NULL", name) == [(True,)]

    def hold(self, sql: str, *parameters: Any) -> list[Row]:
        return self.rows(f"{sql} FOR UPDATE", *parameters)

    def lock(self, names: Sequence[str]) -> None:
        keys = sorted({_lock_key(name) for name in names})
        self._db.execute("SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) key", [keys])


def _configure(db: _Connection) -> None:
    db.isolation_level = IsolationLevel.READ_COMMITTED
    milliseconds = [str(int(seconds * 1000)) for seconds in (_LOCK, _STATEMENT, 2 * _WRITE)]
    db.execute(_SESSION, milliseconds)


def _lock_key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
