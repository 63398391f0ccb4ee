"""Uploads on PostgreSQL, many at once: what each begins with, and the commits of first ones.

Both do by one statement what `jan_media.catalog.sql` does by several, for all uploads that ask at
the same time. They take only the usual course. An upload for which it is another one (its content
is known by now, its key was swept, a lock is held for long) is told to go alone, by the
transactions there; nothing has been changed for it then.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

import psycopg

from jan_media.catalog.interface import Claimed, Content, Media, State
from jan_media.catalog.sql import MEDIA_COLUMNS, to_media

Connection = psycopg.Connection[tuple[Any, ...]]


class _GoAlone(Enum):
    GO_ALONE = ""


GO_ALONE: Final = _GoAlone.GO_ALONE
"""Answers an upload that cannot be served together with others."""
Begun = Claimed | Literal[_GoAlone.GO_ALONE] | None
Committed = Claimed | Literal[_GoAlone.GO_ALONE]

_CANNOT_TOGETHER = (
    psycopg.errors.LockNotAvailable,  # somebody keeps the lock of one content
    psycopg.IntegrityError,
    psycopg.DataError,
)


@dataclass(frozen=True, slots=True)
class Beginning:
    """What `Catalog.claim_or_intend` is asked."""

    content: Content
    owner: str
    storage_key: str
    now: int
    expires_at: int
    due_at: int
    give_up_at: float  # monotonic seconds


@dataclass(frozen=True, slots=True)
class Commit:
    """What `Catalog.commit_upload` is asked."""

    new_id: str
    content: Content
    storage_key: str
    owner: str
    now: int
    expires_at: int
    give_up_at: float  # monotonic seconds


# A row for each content that has a live id: its number, the id, and whether the owner has it. The
# keys of all others are held.
_CLAIM_OR_INTEND = f"""
    WITH asked AS (
        SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[])
        WITH ORDINALITY AS a (sha256, owner, storage_key, due_at, now, number)
    ), live AS (
        SELECT a.number, first.*, EXISTS (
            SELECT 1 FROM claims k WHERE k.id = first.id AND k.owner = a.owner
        ) FROM asked a CROSS JOIN LATERAL (
            SELECT {MEDIA_COLUMNS} FROM media m JOIN contents c ON c.sha256 = m.sha256
            WHERE m.sha256 = a.sha256 AND m.expires_at > a.now ORDER BY m.place LIMIT 1
        ) first
    ), intended AS (
        INSERT INTO garbage (storage_key, due_at, hold)
        SELECT a.storage_key, a.due_at, 'held' FROM asked a
        WHERE NOT EXISTS (SELECT 1 FROM live WHERE live.number = a.number)
        ON CONFLICT (storage_key) DO NOTHING
    )
    SELECT * FROM live
"""  # noqa: S608 (constants)

_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
_LOCK_IN_ORDER = "SELECT count(pg_advisory_xact_lock(key)) FROM unnest(%s::bigint[]) key"
# The ids that were made: those of contents that were not stored and whose key was held. A content
# that is not stored has no ids yet, so its first takes the first place. A key that a sweep is just
# looking at is passed over: two transactions that take several keys must not wait for each other.
_COMMIT_FIRST = """
    WITH asked AS (
        SELECT * FROM unnest(
            %s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[],
            %s::bigint[], %s::bigint[]
        ) AS a (id, sha256, mime, bytes, storage_key, owner, now, expires_at)
        WHERE NOT EXISTS (SELECT 1 FROM contents c WHERE c.sha256 = a.sha256)
    ), taken AS (
        SELECT a.* FROM asked a JOIN garbage g ON g.storage_key = a.storage_key
        WHERE g.hold = 'held' FOR UPDATE OF g SKIP LOCKED
    ), freed AS (
        DELETE FROM garbage g USING taken t WHERE g.storage_key = t.storage_key
    ), stored AS (
        INSERT INTO contents (sha256, mime, bytes, storage_key)
        SELECT sha256, mime, bytes, storage_key FROM taken
    ), named AS (
        INSERT INTO media (id, state, sha256, place, created_at, expires_at)
        SELECT id, 'ready', sha256, 1, now, expires_at FROM taken
    ), claimed AS (
        INSERT INTO claims (owner, id) SELECT owner, id FROM taken
    )
    SELECT id FROM taken
"""


def claim_or_intend(db: Connection, uploads: Sequence[Beginning]) -> list[Begun]:
    """Claim the contents that are known and the owner's already; hold the keys of unknown ones."""
    begun: list[Begun] = [None] * len(uploads)
    try:
        known = db.execute(
            _CLAIM_OR_INTEND,
            (
                [each.content.sha256 for each in uploads],
                [each.owner for each in uploads],
                [each.storage_key for each in uploads],
                [each.due_at for each in uploads],
                [each.now for each in uploads],
            ),
        ).fetchall()
    except _CANNOT_TOGETHER:
        return [GO_ALONE] * len(uploads)
    for number, *row, owned in known:
        media = to_media(row)
        # What changes something has to lock the content first.
        changes = not owned or media.expires_at < uploads[number - 1].expires_at
        begun[number - 1] = GO_ALONE if changes else Claimed(media, deduped=True)
    return begun


def commit_first(
    db: Connection, commits: Sequence[Commit], lock_key: Callable[[str], int]
) -> list[Committed]:
    """Make the ids of contents that nobody has stored yet, in one round trip."""
    firsts = {each.content.sha256: each for each in reversed(commits)}  # of equal ones the first
    asked = list(firsts.values())
    try:
        with db.pipeline():
            db.execute(_BEGIN)
            db.execute(_LOCK_IN_ORDER, [sorted(map(lock_key, firsts))])
            made = db.execute(
                _COMMIT_FIRST,
                (
                    [each.new_id for each in asked],
                    [each.content.sha256 for each in asked],
                    [each.content.mime for each in asked],
                    [each.content.bytes for each in asked],
                    [each.storage_key for each in asked],
                    [each.owner for each in asked],
                    [each.now for each in asked],
                    [each.expires_at for each in asked],
                ),
            )
            db.execute("COMMIT")
    except _CANNOT_TOGETHER:
        db.rollback()
        return [GO_ALONE] * len(commits)
    ids = {id for (id,) in made.fetchall()}
    return [_claimed(each) if each.new_id in ids else GO_ALONE for each in commits]


def _claimed(commit: Commit) -> Claimed:
    return Claimed(
        Media(
            id=commit.new_id,
            state=State.READY,
            mime=commit.content.mime,
            bytes=commit.content.bytes,
            sha256=commit.content.sha256,
            storage_key=commit.storage_key,
            created_at=commit.now,
            expires_at=commit.expires_at,
        ),
        deduped=False,
    )
