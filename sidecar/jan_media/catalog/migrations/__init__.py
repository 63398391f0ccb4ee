"""Versioned schema migrations: one numbered SQL file per step, for each database.

The file ``0007_name.sql`` takes a database of version 6 to version 7. A file that has been
released is never edited: a change is a new file, for both databases under the same number. The
version is the one row of the table `schema_version`, which the first step creates. Each catalog
runs the steps inside one transaction under a lock of its database, so that any number of
processes may start at once and a failed step leaves the version before it.
"""

from importlib.resources import files
from typing import Literal

from jan_media.catalog.database import Transaction
from jan_media.catalog.interface import SchemaTooNew

Dialect = Literal["sqlite", "postgres"]


def migrate(tx: Transaction, dialect: Dialect) -> None:
    """Run the steps that the database still needs.

    Raises `SchemaTooNew` if the database is ahead of this code.
    """
    tx.lock(["schema"])
    steps = steps_of(dialect)
    version, newest = tx.schema_version(), max(steps)
    if version > newest:
        raise SchemaTooNew(
            f"the catalog's schema is version {version} and this sidecar knows versions up to "
            f"{newest}: upgrade the sidecar, or restore a backup from before the upgrade"
        )
    for step in range(version + 1, newest + 1):
        tx.run_script(steps[step])
        tx.change("UPDATE schema_version SET version = ?", step)


def newest_version() -> int:
    """The schema version that this code works with."""
    return max(steps_of("sqlite"))


def steps_of(dialect: Dialect) -> dict[int, str]:
    """The statements of each step, by the version of the schema once it is done."""
    return {
        int(file.name[:4]): file.read_text(encoding="utf-8")
        for file in (files(__name__) / dialect).iterdir()
        if file.name.endswith(".sql")
    }
