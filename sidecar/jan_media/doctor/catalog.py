"""Checks the catalog: that it answers, its schema, and its room for every sidecar's pool."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg

from jan_media.catalog.interface import CatalogUnavailable
from jan_media.catalog.migrations import newest_version
from jan_media.catalog.open import open_catalog
from jan_media.catalog.postgres import CONNECTIONS
from jan_media.doctor.finding import Finding, ok, problem, warning
from jan_media.settings import Settings

SUBJECT = "catalog"
OLDEST_POSTGRES = 130000
_SQLITE = "sqlite:///"
_SERVER = """
    SELECT current_setting('server_version_num')::int,
           current_setting('max_connections')::int
               - current_setting('superuser_reserved_connections')::int,
           (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
               AND application_name <> 'jan-media' AND pid <> pg_backend_pid()),
           current_setting('fsync'),
           has_schema_privilege(current_schema(), 'CREATE')
"""


def check_catalog(settings: Settings) -> Iterator[Finding]:
    """Check the database that MEDIA_DATABASE_URL names, without changing it."""
    if settings.database_url.startswith(_SQLITE):
        yield from _sqlite(settings)
    else:
        yield from _postgres(settings)


def _sqlite(settings: Settings) -> Iterator[Finding]:
    path = Path(settings.database_url.removeprefix(_SQLITE)).absolute()
    if not path.exists():
        yield ok(SUBJECT, f"{path} will be made at the first start.")
        return
    yield _schema(settings)
    if path.stat().st_mode & 0o077:
        yield warning(
            SUBJECT, f"Others may read {path}, and whoever does has every media id: chmod 600 it."
        )


def _postgres(settings: Settings) -> Iterator[Finding]:
    try:
        open_catalog(settings.database_url).close()
        with psycopg.connect(settings.database_url, connect_timeout=5) as connection:
            row = connection.execute(_SERVER).fetchone()
    except (psycopg.Error, ValueError) as error:
        reason = " ".join(str(error).split())
        yield problem(
            SUBJECT,
            f"No connection ({reason}). Check host, port, database, role and password in "
            "MEDIA_DATABASE_URL, with special characters percent-encoded, and pg_hba.conf.",
        )
        return
    assert row is not None
    version, room, others, fsync, may_create = row
    yield _schema(settings)
    if version < OLDEST_POSTGRES:
        yield problem(SUBJECT, "The server is older than PostgreSQL 13: upgrade.")
    if fsync != "on":
        yield problem(
            SUBJECT,
            "The server runs with fsync off and loses committed data in a crash: set fsync = on.",
        )
    if not may_create:
        yield warning(
            SUBJECT,
            "The role may not create tables, so an upgrade's first start fails: GRANT CREATE ON "
            "SCHEMA to it, for as long as that takes.",
        )
    # What the server has left, and what the pools of a sidecar may take.
    each = settings.workers * CONNECTIONS
    enough_for = max(0, room - others) // each
    counted = (
        f"One sidecar opens up to {each} connections (MEDIA_WORKERS={settings.workers} x "
        f"{CONNECTIONS}); the server takes {room}, and others use {others} of them now: enough "
        f"for {enough_for} sidecars."
    )
    if enough_for >= 2:
        yield ok("connections", counted)
        return
    verdict = warning if enough_for else problem
    yield verdict(
        "connections", f"{counted} Raise max_connections on the server, or lower MEDIA_WORKERS."
    )


def _schema(settings: Settings) -> Finding:
    try:
        with closing(open_catalog(settings.database_url)) as catalog:
            version, newest = catalog.schema_version(), newest_version()
    except CatalogUnavailable as error:
        return problem(
            SUBJECT,
            f"It does not answer: {error}. Check MEDIA_DATABASE_URL and the permissions of what "
            "it names.",
        )
    if version > newest:
        return problem(
            SUBJECT,
            f"Its schema is version {version} and this sidecar knows {newest}: upgrade the "
            "sidecar, or restore a backup from before the upgrade.",
        )
    at_next_start = f"goes from version {version} to {newest} at the next start"
    what = at_next_start if version < newest else f"is version {version}"
    return ok(SUBJECT, f"It answers; its schema {what}.")
