"""Versioned schema migrations: one numbered SQL file a step, for each database.

The file ``0007_name.sql`` takes a database of version 6 to version 7. A file that has been
released is never edited: a change is a new file, for both databases under the same number. The
version is the one row of the table `schema_version`, which the first step creates. Each catalog
runs the steps inside one transaction under a lock of its database, so that any number of
processes may start at once and a failed step leaves the version before it.
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from jan_media.catalog.interface import SchemaTooNew

Dialect = Literal["sqlite", "postgres"]


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    version: int  # of the schema once the step is done
    sql: str  # statements, each ended by a semicolon at the end of a line


def migrations_after(version: int, dialect: Dialect) -> list[Migration]:
    """Return the steps that a database of ``version`` still needs (0: an empty database), in order.

    Raises `SchemaTooNew` if the database is ahead of this code.
    """
    steps = _steps(dialect)
    newest = steps[-1].version
    if version > newest:
        raise SchemaTooNew(
            f"the catalog's schema is version {version} and this sidecar knows versions up to "
            f"{newest}: upgrade the sidecar, or restore a backup from before the upgrade"
        )
    return [step for step in steps if step.version > version]


def newest_version() -> int:
    """The schema version that this code works with."""
    return _steps("sqlite")[-1].version


def _steps(dialect: Dialect) -> list[Migration]:
    """All, in order."""
    found = [file for file in (files(__name__) / dialect).iterdir() if file.name.endswith(".sql")]
    return [
        Migration(int(file.name[:4]), file.read_text(encoding="utf-8"))
        for file in sorted(found, key=lambda file: file.name)
    ]
