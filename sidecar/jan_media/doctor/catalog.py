"""The catalog: whether it answers, knows its schema, and has room for every sidecar's pool."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from jan_media.catalog.interface import CatalogUnavailable
from jan_media.catalog.migrations import newest_version
from jan_media.catalog.open import open_catalog
from jan_media.catalog.postgres import CONNECTIONS
from jan_media.doctor.finding import Finding, Verdict
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


def check_catalog(settings: Settings) -> list[Finding]:
    """Look at the database that MEDIA_DATABASE_URL names, changing nothing."""
    if settings.database_url.startswith(_SQLITE):
        return list(_sqlite(settings))
    return list(_postgres(settings))


def _sqlite(settings: Settings) -> Iterator[Finding]:
    path = Path(settings.database_url.removeprefix(_SQLITE)).absolute()
    if not path.exists():
        yield Finding(SUBJECT, Verdict.OK, f"{path} will be made at the first start.")
        return
    yield from _schema(settings)
    if path.stat().st_mode & 0o077:
        yield Finding(
            SUBJECT,
            Verdict.WARNING,
            f"Others may read {path}, and whoever does has every media id: chmod 600 it.",
        )


def _is_taken_apart_rightly(url: str) -> bool:
    """Whether libpq's messages can be shown: of a malformed URL they quote the password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        return False
    host, port = str(parts.get("host", "")), str(parts.get("port", ""))
    return "@" not in host and re.fullmatch(r"[0-9,]*", port) is not None


def _postgres(settings: Settings) -> Iterator[Finding]:
    if not _is_taken_apart_rightly(settings.database_url):
        yield Finding(
            SUBJECT,
            Verdict.PROBLEM,
            "MEDIA_DATABASE_URL is no postgresql://user:password@host:port/name. Write special "
            "characters in it by their percent-encoding (%40 for @, %2F for /).",
        )
        return
    try:
        with psycopg.connect(settings.database_url, connect_timeout=5) as connection:
            row = connection.execute(_SERVER).fetchone()
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        yield Finding(
            SUBJECT,
            Verdict.PROBLEM,
            f"No connection ({reason}). Check host, port, database, role and password in "
            "MEDIA_DATABASE_URL, and pg_hba.conf.",
        )
        return
    assert row is not None
    version, room, others, fsync, may_create = row
    yield from _schema(settings)
    if version < OLDEST_POSTGRES:
        yield Finding(SUBJECT, Verdict.PROBLEM, "The server is older than PostgreSQL 13: upgrade.")
    if fsync != "on":
        yield Finding(
            SUBJECT,
            Verdict.PROBLEM,
            "The server runs with fsync off and loses committed data in a crash: set fsync = on.",
        )
    if not may_create:
        yield Finding(
            SUBJECT,
            Verdict.WARNING,
            "The role may not create tables, so an upgrade's first start fails: GRANT CREATE ON "
            "SCHEMA to it, for as long as that takes.",
        )
    yield _connections(settings, room=room, others=others)


def _connections(settings: Settings, *, room: int, others: int) -> Finding:
    """Compare what the server has left with what the pools of a sidecar may take."""
    each = settings.workers * CONNECTIONS
    enough_for = max(0, room - others) // each
    counted = (
        f"One sidecar opens up to {each} connections (MEDIA_WORKERS={settings.workers} x "
        f"{CONNECTIONS}); the server takes {room}, and others use {others} of them now: enough "
        f"for {enough_for} sidecars."
    )
    if enough_for < 2:
        return Finding(
            "connections",
            Verdict.PROBLEM if enough_for < 1 else Verdict.WARNING,
            f"{counted} Raise max_connections on the server, or lower MEDIA_WORKERS.",
        )
    return Finding("connections", Verdict.OK, counted)


def _schema(settings: Settings) -> Iterator[Finding]:
    catalog = open_catalog(settings.database_url)
    try:
        version = catalog.schema_version()
    except CatalogUnavailable as error:
        yield Finding(
            SUBJECT,
            Verdict.PROBLEM,
            f"It does not answer: {error}. Check MEDIA_DATABASE_URL and the permissions of what "
            "it names.",
        )
        return
    finally:
        catalog.close()
    newest = newest_version()
    if version > newest:
        yield Finding(
            SUBJECT,
            Verdict.PROBLEM,
            f"Its schema is version {version} and this sidecar knows {newest}: upgrade the "
            "sidecar, or restore a backup from before the upgrade.",
        )
    elif version < newest:
        yield Finding(
            SUBJECT,
            Verdict.OK,
            f"It answers; its schema goes from version {version} to {newest} at the next start.",
        )
    else:
        yield Finding(SUBJECT, Verdict.OK, f"It answers; its schema is version {version}.")
