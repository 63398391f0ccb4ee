"""What a catalog needs from its database: transactions, in SQL that SQLite and PostgreSQL share.

On SQLite a writing transaction has the whole database to itself, and locks do nothing. On
PostgreSQL many run at once, at READ COMMITTED, and locks keep them apart.
"""

# ruff: noqa: S608 (what is put into statements is placeholders and names of this package)

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from jan_media.catalog.interface import IntentLapsed

T = TypeVar("T")
P = ParamSpec("P")
D = TypeVar("D", bound="Database")
Row = tuple[Any, ...]

# Bounds the statement's parameters, and the locks that one `expire` holds at a time.
BATCH = 500


class Overtaken(Exception):
    """Something that was read before it was locked has changed. Run the transaction again."""


class Transaction(ABC):
    """Statements that happen together. Parameters are written ``?``."""

    @abstractmethod
    def rows(self, sql: str, *parameters: Any) -> list[Row]:
        """The rows that a query returns, or a change with RETURNING."""

    @abstractmethod
    def change(self, sql: str, *parameters: Any) -> int:
        """Run a change; returns how many rows it changed."""

    @abstractmethod
    def run_script(self, sql: str) -> None:
        """Run several statements, which have no parameters."""

    @abstractmethod
    def has_table(self, name: str) -> bool:
        """Whether there is a table of that name."""

    @abstractmethod
    def lock(self, names: Sequence[str]) -> None:
        """Wait until no other transaction has locked these names; keep them locked to the end."""

    def among(self, sql: str, values: Sequence[str], *parameters: Any) -> list[Row]:
        """As `rows`, for a statement with ``IN ({})`` and any number of values for that place."""
        found = []
        for start in range(0, len(values), BATCH):
            batch = values[start : start + BATCH]
            found += self.rows(sql.format(marks(batch)), *batch, *parameters)
        return found

    def schema_version(self) -> int:
        """The version of the database's schema; 0 if it has none yet."""
        if not self.has_table("schema_version"):
            return 0
        ((version,),) = self.rows("SELECT version FROM schema_version")
        return int(version)

    def hold(self, sql: str, *parameters: Any) -> list[Row]:
        """As `rows`, for a SELECT; nobody else changes these rows until the transaction ends."""
        return self.rows(sql, *parameters)

    def insert(self, table: str, **row: Any) -> None:
        """Add a row. Raises the driver's ``IntegrityError`` if its key exists."""
        self.change(_insert(table, list(row)), *row.values())

    def insert_new(self, table: str, **row: Any) -> bool:
        """Add a row unless it conflicts with an existing one; returns whether it was added."""
        sql = f"{_insert(table, list(row))} ON CONFLICT DO NOTHING"
        return self.change(sql, *row.values()) == 1


class Database(ABC):
    """A database that can run transactions. Every method raises `CatalogUnavailable`."""

    @abstractmethod
    def migrate(self) -> None:
        """Bring the schema to this version; safe when several processes start at once.

        Raises `SchemaTooNew` (a `RuntimeError`) on a database of a later version.
        """

    def schema_version(self) -> int:
        """The version of the database's schema; 0 if it has none yet."""
        return self._read(lambda tx: tx.schema_version())

    @abstractmethod
    def close(self) -> None:
        """Close every connection. The catalog cannot be used afterwards."""

    def check(self) -> None:
        """Do one cheap real read; raise `CatalogUnavailable` if that fails."""
        self._rows("SELECT version FROM schema_version")

    @abstractmethod
    def _read(self, work: Callable[[Transaction], T]) -> T:
        """Run queries; each sees what was committed before it."""

    @abstractmethod
    def _transact(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` as one durable transaction, again from the start if it was `Overtaken`.

        Nothing is changed if ``work`` raises.
        """

    def _rows(self, sql: str, *parameters: Any) -> list[Row]:
        return self._read(lambda tx: tx.rows(sql, *parameters))


def transaction(
    method: Callable[Concatenate[D, Transaction, P], T],
) -> Callable[Concatenate[D, P], T]:
    """Make a method one durable transaction, passed to it as ``tx``; callers omit that.

    It may run again from the start. `IntentLapsed` comes through, but what was changed stays: the
    key of bytes that nobody may commit is garbage again. After any other error nothing has changed.
    """

    @wraps(method)
    def transact(self: D, /, *args: P.args, **kwargs: P.kwargs) -> T:
        def work(tx: Transaction) -> T | IntentLapsed:
            try:
                return method(self, tx, *args, **kwargs)
            except IntentLapsed as lapsed:
                return lapsed

        outcome = self._transact(work)
        if isinstance(outcome, IntentLapsed):
            raise outcome
        return outcome

    return transact


def marks(values: Sequence[str]) -> str:
    """Placeholders for ``IN (…)``. PostgreSQL has no empty list, but nothing is in (NULL)."""
    return ", ".join("?" * len(values)) or "NULL"


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks(columns)})"
