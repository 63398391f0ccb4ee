"""The catalog's transactions, written once in the SQL that SQLite and PostgreSQL share.

Each database implements `_read` and `_write`, which run a function on a `Transaction`. On SQLite a
writing transaction has the whole database to itself, and the locks below do nothing. On PostgreSQL
many run at once, at READ COMMITTED, and the locks keep them apart.

Why concurrent transactions cannot hurt each other
    Whatever gives a content an id, takes one away, or creates or removes the content itself holds
    the lock of that content (`_lock_content`) and reads only after it has it. So a claim never
    joins an id that a concurrent release or expiry is removing, two first uploads of one content
    cannot both be first, and a content loses its row exactly when its last id goes, with its key
    becoming garbage in the same transaction. An id that is not ready yet has no content to lock;
    its row is locked instead (`Transaction.hold`).

    A storage key is handed over by one statement on its garbage row, which only one transaction
    can win: a commit deletes the row if it is ``held``, a sweep sets it to ``taken``.

    Locks are always taken in one order, so that no two transactions wait for each other: the
    sweep's, then contents (several only by `expire`, sorted), then media rows, then garbage rows,
    then usage rows.
    `release` has to look at an id before it knows which content to lock; if the id changed
    meanwhile it starts again (`Overtaken`).

The garbage row of a key (``hold``)
    ``held``: bytes are being written, and a commit may still take the key. ``dropped``: no commit
    may. ``taken``: a sweep is deleting the bytes; it is given out again until it is forgotten. A
    late commit turns ``taken`` back into ``dropped``: its bytes may have been written after the
    sweep's deletion, so that sweep must not forget the key, and the next one deletes again.
"""

# ruff: noqa: S608 (what is put into statements is placeholders and constants of this file)

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Protocol, TypeVar

from jan_media.catalog.interface import (
    NO_DETAILS,
    NO_QUOTA,
    ApiKey,
    Claim,
    Claimed,
    Content,
    Expired,
    FileDetails,
    IntentLapsed,
    Media,
    Owned,
    Position,
    Quota,
    QuotaExceeded,
    Released,
    Rendition,
    State,
    Usage,
)
from jan_media.catalog.transfer import Record, merged

T = TypeVar("T")

# Bounds the statement's parameters, and the locks that one `expire` holds at a time.
_BATCH = 500
_UNLIMITED = 2**62  # as a quota: more than anybody keeps

_COLUMNS = """
    m.id, m.state, COALESCE(c.mime, m.promised_mime), COALESCE(c.bytes, 0),
    COALESCE(m.sha256, ''), COALESCE(c.storage_key, m.upload_key),
    m.created_at, m.expires_at, m.rejection_code, m.rejection_message
"""
_MEDIA_TABLES = "FROM media m LEFT JOIN contents c ON c.sha256 = m.sha256"
_MEDIA = f"SELECT {_COLUMNS} {_MEDIA_TABLES}"
# Of a content's ids the one to answer an upload with. The parameters are its hash and now.
_FIRST_LIVE = "SELECT id FROM media WHERE sha256 = ? AND expires_at > ? ORDER BY place LIMIT 1"
_CLAIM = "k.owner, k.created_at, k.expires_at, k.file_name, k.purpose"
# The parameter is now. It is over while it waits for `expire`.
_CLAIM_HOLDS = "(k.expires_at IS NULL OR k.expires_at > ?)"
# A claim to which an upload would add nothing. The parameters are the owner, and the details: the
# name twice, the purpose twice, the end.
_SAME_CLAIM = """
    SELECT 1 FROM claims k WHERE k.id = m.id AND k.owner = ?
    AND (? = '' OR ? = k.file_name) AND (? = '' OR ? = k.purpose)
    AND (k.expires_at IS NULL OR k.expires_at >= ?)
"""
_RENDITION = """
    SELECT sha256, storage_key, mime, bytes, width, height, failure_code, failure_message
    FROM renditions
"""
_NEXT_PLACE = "SELECT COALESCE(MAX(place), 0) + 1 FROM media WHERE sha256 = ?"
# The parameter is now. A pending id past its time may have been uploaded in time.
_LIVE = "(m.expires_at > ? OR m.state = 'pending')"
_API_KEY = """
    SELECT id, prefix, key_hash, owner, group_names, created_at, expires_at, revoked_at
    FROM api_keys
"""


class Overtaken(Exception):
    """What was read before its lock was held has changed. Run the transaction again."""


class Transaction(Protocol):
    """Statements that happen together. Parameters are written ``?``."""

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows that a query answers, or a change with RETURNING."""

    def hold(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """As `rows`, for a SELECT; nobody else changes these rows until the transaction ends."""

    def change(self, sql: str, *parameters: Any) -> int:
        """Run a change; how many rows it touched."""

    def insert(self, table: str, **row: Any) -> None:
        """Add a row. Raises the driver's ``IntegrityError`` if its key is there."""

    def insert_new(self, table: str, **row: Any) -> bool:
        """Add a row unless it is in conflict with one that is there; whether it was added."""

    def lock(self, names: Sequence[str]) -> None:
        """Wait until no other transaction has locked these names; keep them to the end."""


class SqlCatalog(ABC):
    """`Catalog`, `ApiKeys` and `Transfer` on a database that can run `Transaction`s.

    The docstrings of the methods are those of the interfaces.
    """

    @abstractmethod
    def _read(self, work: Callable[[Transaction], T]) -> T:
        """Run queries; each sees what was committed before it. Raises `CatalogUnavailable`."""

    @abstractmethod
    def _write(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` as one durable transaction, again from the start if it was `Overtaken`.

        Raises `CatalogUnavailable`. Nothing is changed if ``work`` raises.
        """

    def check(self) -> None:
        self._read(lambda tx: tx.rows("SELECT version FROM schema_version"))

    # --- bytes on their way in

    def intend(self, storage_key: str, *, due_at: int) -> None:
        self._write(
            lambda tx: tx.insert_new("garbage", storage_key=storage_key, due_at=due_at, hold="held")
        )

    def claim_known(
        self,
        content: Content,
        owner: str,
        *,
        now: int,
        expires_at: int,
        quota: Quota = NO_QUOTA,
        details: FileDetails = NO_DETAILS,
    ) -> Claimed | None:
        end = _UNLIMITED if details.lifetime is None else expires_at
        seen = self._read(
            lambda tx: tx.rows(
                f"SELECT {_COLUMNS}, EXISTS ({_SAME_CLAIM}) {_MEDIA_TABLES}"
                f" WHERE m.id = ({_FIRST_LIVE})",
                *(owner, details.name, details.name, details.purpose, details.purpose, end),
                content.sha256,
                now,
            )
        )
        if not seen:
            return None
        *row, claimed = seen[0]
        media = _to_media(row)
        if claimed and media.expires_at >= expires_at:
            return Claimed(media, deduped=True)  # there is nothing to change

        def work(tx: Transaction) -> Claimed | None:
            _lock_content(tx, content.sha256)
            return _claim_live(tx, content, owner, details, now, expires_at, quota)

        return self._write(work)

    def claim_or_intend(
        self,
        content: Content,
        owner: str,
        storage_key: str,
        *,
        now: int,
        expires_at: int,
        due_at: int,
        quota: Quota = NO_QUOTA,
        details: FileDetails = NO_DETAILS,
    ) -> Claimed | None:
        known = self.claim_known(
            content, owner, now=now, expires_at=expires_at, quota=quota, details=details
        )
        if known is None:
            if quota != NO_QUOTA:
                _require_room(self.usage(owner), content.bytes, quota)
            self.intend(storage_key, due_at=due_at)
        return known

    def commit_upload(
        self,
        new_id: str,
        content: Content,
        storage_key: str,
        owner: str,
        *,
        now: int,
        expires_at: int,
        quota: Quota = NO_QUOTA,
        details: FileDetails = NO_DETAILS,
    ) -> Claimed:
        def work(tx: Transaction) -> Claimed | None:
            _lock_content(tx, content.sha256)
            claimed = _claim_live(tx, content, owner, details, now, expires_at, quota)
            if claimed is not None:
                _drop(tx, storage_key, now=now)
                # The id can only be there already if this very commit was done before and its
                # answer got lost; then it is still the first one.
                return Claimed(claimed.media, deduped=claimed.media.id != new_id)
            if not _keep_bytes(tx, content, storage_key, now=now):
                return None
            tx.insert(
                "media",
                id=new_id,
                state=State.READY.value,
                sha256=content.sha256,
                place=_next_place(tx, content.sha256),
                created_at=now,
                expires_at=expires_at,
            )
            _add_claim(
                tx, new_id, owner, details, now, expires_at, bytes=content.bytes, quota=quota
            )
            return Claimed(_media(tx, new_id), deduped=False)

        return _unless_lapsed(self._write(work), storage_key)

    # --- direct upload

    def create_pending(
        self,
        new_id: str,
        mime: str,
        upload_key: str,
        owner: str,
        *,
        now: int,
        upload_until: int,
        quota: Quota = NO_QUOTA,
    ) -> Media:
        def work(tx: Transaction) -> Media:
            tx.insert(
                "media",
                id=new_id,
                state=State.PENDING.value,
                promised_mime=mime,
                upload_key=upload_key,
                created_at=now,
                expires_at=upload_until,
            )
            tx.insert("garbage", storage_key=upload_key, due_at=upload_until, hold="dropped")
            _add_claim(tx, new_id, owner, NO_DETAILS, now, upload_until, bytes=0, quota=quota)
            return _media(tx, new_id)

        return self._write(work)

    def complete_pending(
        self,
        id: str,
        content: Content,
        storage_key: str,
        *,
        now: int,
        expires_at: int,
        quota_of: Callable[[str], Quota] = lambda owner: NO_QUOTA,
    ) -> Media | None:
        def work(tx: Transaction) -> tuple[Media | None] | None:
            _lock_content(tx, content.sha256)
            if not tx.hold("SELECT id FROM media WHERE id = ? AND state = 'pending'", id):
                _drop(tx, storage_key, now=now)
                return (_live_media(tx, id, now=now),)
            if not _keep_bytes(tx, content, storage_key, now=now):
                return None
            tx.change(
                "UPDATE media SET state = 'ready', sha256 = ?, place = ?, expires_at = ?"
                " WHERE id = ?",
                content.sha256,
                _next_place(tx, content.sha256),
                expires_at,
                id,
            )
            for owner in _owners(tx, id):
                _charge(tx, owner, bytes=content.bytes, files=0, quota=quota_of(owner))
            return (_media(tx, id),)

        return _unless_lapsed(self._write(work), storage_key)[0]

    def reject_pending(self, id: str, code: str, message: str, *, now: int) -> Media | None:
        def work(tx: Transaction) -> Media | None:
            tx.change(
                "UPDATE media SET state = 'rejected', rejection_code = ?, rejection_message = ?"
                " WHERE id = ? AND state = 'pending'",
                code,
                message,
                id,
            )
            return _live_media(tx, id, now=now)

        return self._write(work)

    def overdue_uploads(self, *, now: int, limit: int, after: str = "") -> list[Media]:
        sql = (
            f"{_MEDIA} WHERE m.state = 'pending' AND m.expires_at <= ? AND m.id > ?"
            " ORDER BY m.id LIMIT ?"
        )
        return [_to_media(row) for row in self._read(lambda tx: tx.rows(sql, now, after, limit))]

    # --- reading

    def get_many(self, ids: Sequence[str], *, now: int) -> dict[str, Media]:
        def work(tx: Transaction) -> dict[str, Media]:
            found: dict[str, Media] = {}
            for start in range(0, len(ids), _BATCH):
                batch = ids[start : start + _BATCH]
                for row in tx.rows(
                    f"{_MEDIA} WHERE m.id IN ({_marks(batch)}) AND {_LIVE}", *batch, now
                ):
                    found[row[0]] = _to_media(row)
            return found

        return self._read(work) if ids else {}

    def claim_of(self, id: str, owner: str, *, now: int) -> Claim | None:
        found = self._read(
            lambda tx: tx.rows(
                f"SELECT {_CLAIM} FROM claims k WHERE k.owner = ? AND k.id = ? AND {_CLAIM_HOLDS}",
                owner,
                id,
                now,
            )
        )
        return Claim(*found[0]) if found else None

    def list_owned(
        self,
        owner: str,
        *,
        now: int,
        limit: int,
        after: Position | None = None,
        oldest_first: bool = False,
        purpose: str = "",
        ids: Sequence[str] | None = None,
    ) -> list[Owned]:
        follows, order = (">", "ASC") if oldest_first else ("<", "DESC")
        beyond = "" if after is None else f" AND (k.created_at, k.id) {follows} (?, ?)"
        with_purpose = " AND k.listed_as = ?" if purpose else ""
        of_ids = "" if ids is None else f" AND k.id IN ({_marks(ids)})"
        # The plus keeps SQLite from walking through all that an owner has, in order, for a few ids.
        date = "k.created_at" if ids is None else "+k.created_at"
        sql = (
            f"SELECT {_CLAIM}, {_COLUMNS} {_MEDIA_TABLES} JOIN claims k ON k.id = m.id"
            f" WHERE k.owner = ? AND {_CLAIM_HOLDS} AND m.state = 'ready' AND m.expires_at > ?"
            f"{beyond}{with_purpose}{of_ids}"
            f" ORDER BY {date} {order}, k.id {order} LIMIT ?"
        )
        wanted = (*(after or ()), *((purpose,) if purpose else ()), *(ids or ()))
        rows = self._read(lambda tx: tx.rows(sql, owner, now, now, *wanted, limit))
        return [Owned(_to_media(row[5:]), Claim(*row[:5])) for row in rows]

    def usage(self, owner: str) -> Usage:
        return self._read(lambda tx: _usage(tx, owner))

    # --- renditions

    def renditions(self, hashes: Sequence[str], fit: str) -> dict[str, Rendition]:
        def work(tx: Transaction) -> dict[str, Rendition]:
            rows = [
                row
                for start in range(0, len(hashes), _BATCH)
                for row in tx.rows(
                    f"{_RENDITION} WHERE fit = ? AND sha256 IN"
                    f" ({_marks(hashes[start : start + _BATCH])})",
                    fit,
                    *hashes[start : start + _BATCH],
                )
            ]
            return {sha256: Rendition(*columns) for sha256, *columns in rows}

        return self._read(work)

    def keep_rendition(
        self, sha256: str, fit: str, rendition: Rendition, *, now: int
    ) -> Rendition | None:
        def work(tx: Transaction) -> tuple[Rendition | None] | None:
            _lock_content(tx, sha256)
            known = tx.rows(f"{_RENDITION} WHERE sha256 = ? AND fit = ?", sha256, fit)
            stored = tx.rows("SELECT 1 FROM contents WHERE sha256 = ?", sha256)
            key = rendition.storage_key
            if known or not stored:
                kept = Rendition(*known[0][1:]) if known else None
                if key and not (kept and kept.storage_key == key):
                    _drop(tx, key, now=now)
                return (kept,)
            if key and not tx.change(
                "DELETE FROM garbage WHERE storage_key = ? AND hold = 'held'", key
            ):
                _drop(tx, key, now=now)
                return None
            columns = {"sha256": sha256, "fit": fit, **asdict(rendition)}
            tx.change(
                f"INSERT INTO renditions ({', '.join(columns)})"
                f" VALUES ({', '.join('?' * len(columns))})",
                *columns.values(),
            )
            return (rendition,)

        return _unless_lapsed(self._write(work), rendition.storage_key)[0]

    # --- the end of life

    def release(self, id: str, owner: str, *, now: int) -> Released:
        def work(tx: Transaction) -> Released:
            seen = tx.rows(f"SELECT m.sha256 FROM media m WHERE m.id = ? AND {_LIVE}", id, now)
            if not seen:
                return Released.NOT_FOUND
            sha256: str | None = seen[0][0]
            if sha256 is not None:
                _lock_content(tx, sha256)
            held = tx.hold("SELECT sha256 FROM media WHERE id = ?", id)
            if not held:
                return Released.NOT_FOUND
            if held != seen:
                raise Overtaken  # completed meanwhile: its content has to be locked first
            if not tx.change("DELETE FROM claims WHERE owner = ? AND id = ?", owner, id):
                return Released.NOT_OWNER
            if not _after_claim(tx, id, owner):
                return Released.SHARED
            if sha256 is not None:
                _drop_unreferenced(tx, [sha256], now=now)
            return Released.GONE

        return self._write(work)

    def expire(self, *, now: int, limit: int) -> Expired:
        def work(tx: Transaction) -> Expired:
            _lock_sweep(tx)
            over = tx.rows(
                "SELECT id, sha256 FROM media WHERE expires_at <= ?"
                " ORDER BY expires_at, id LIMIT ?",
                now,
                min(limit, _BATCH),
            )
            if not over:
                return _expire_claims(tx, now=now, limit=min(limit, _BATCH))
            ids = [id for id, _ in over]
            hashes = sorted({sha256 for _, sha256 in over if sha256 is not None})
            _lock_content(tx, *hashes)
            # Renewed or completed since it was read: no longer over, or of a content not locked.
            going = dict(
                tx.hold(
                    f"SELECT id, state FROM media WHERE id IN ({_marks(ids)}) AND expires_at <= ?"
                    f" AND (sha256 IS NULL OR sha256 IN ({_marks(hashes)}))",
                    *ids,
                    now,
                    *hashes,
                )
            )
            states = list(going.values())
            if not states:
                raise Overtaken  # others may be over: all zeros would say that none is
            _give_back_all(tx, list(going))
            tx.change(f"DELETE FROM media WHERE id IN ({_marks(list(going))})", *going)
            ready = states.count(State.READY)
            return Expired(
                media=ready,
                uploads=len(states) - ready,
                contents=_drop_unreferenced(tx, hashes, now=now),
            )

        return self._write(work)

    def count_expired(self, *, now: int) -> Expired:
        sql = """
            SELECT (SELECT COUNT(*) FROM media WHERE expires_at <= ? AND state = 'ready'),
                   (SELECT COUNT(*) FROM media WHERE expires_at <= ? AND state <> 'ready'),
                   (SELECT COUNT(*) FROM contents c WHERE NOT EXISTS (
                        SELECT 1 FROM media m WHERE m.sha256 = c.sha256 AND m.expires_at > ?)),
                   (SELECT COUNT(*) FROM claims k JOIN media m ON m.id = k.id
                    WHERE k.expires_at <= ? AND m.expires_at > ?)
        """
        ((media, uploads, contents, claims),) = self._read(
            lambda tx: tx.rows(sql, now, now, now, now, now)
        )
        return Expired(media=media, uploads=uploads, contents=contents, claims=claims)

    def take_garbage(self, *, now: int, limit: int) -> list[str]:
        def work(tx: Transaction) -> list[str]:
            _lock_sweep(tx)
            # A taken key goes to the end of the queue, so that keys whose bytes cannot be deleted
            # never keep others from their turn.
            taken = tx.rows(
                "UPDATE garbage SET hold = 'taken', due_at = ? WHERE due_at <= ?"
                " AND storage_key IN (SELECT storage_key FROM garbage WHERE due_at <= ?"
                " ORDER BY due_at, storage_key LIMIT ?) RETURNING storage_key",
                now,
                now,
                now,
                limit,
            )
            return [key for (key,) in taken]

        return self._write(work)

    def forget_garbage(self, storage_keys: Sequence[str]) -> None:
        def work(tx: Transaction) -> None:
            _lock_sweep(tx)
            for start in range(0, len(storage_keys), _BATCH):
                batch = storage_keys[start : start + _BATCH]
                tx.change(
                    "DELETE FROM garbage WHERE hold = 'taken'"
                    f" AND storage_key IN ({_marks(batch)})",
                    *batch,
                )

        if storage_keys:
            self._write(work)

    def count_garbage(self, *, now: int) -> int:
        sql = "SELECT COUNT(*) FROM garbage WHERE due_at <= ?"
        ((count,),) = self._read(lambda tx: tx.rows(sql, now))
        return int(count)

    def lease(self, name: str, holder: str, *, now: int, until: int) -> bool:
        sql = (
            "INSERT INTO leases (name, holder, ends_at) VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE"
            " SET holder = excluded.holder, ends_at = excluded.ends_at"
            " WHERE leases.holder = excluded.holder OR leases.ends_at <= ?"
        )
        return self._write(lambda tx: tx.change(sql, name, holder, until, now)) == 1

    def counts(self) -> dict[str, int]:
        names = ("media", "pending", "contents", "content_bytes", "garbage")
        sql = """
            SELECT (SELECT COUNT(*) FROM media WHERE state = 'ready'),
                   (SELECT COUNT(*) FROM media WHERE state = 'pending'),
                   (SELECT COUNT(*) FROM contents),
                   (SELECT COALESCE(SUM(bytes), 0) FROM contents),
                   (SELECT COUNT(*) FROM garbage)
        """
        (numbers,) = self._read(lambda tx: tx.rows(sql))
        return {name: int(number) for name, number in zip(names, numbers, strict=True)}

    # --- to and from another catalog

    @abstractmethod
    def schema_version(self) -> int:
        """See `jan_media.catalog.transfer`."""

    def ids_after(self, id: str, *, now: int, limit: int) -> list[str]:
        sql = f"SELECT m.id FROM media m WHERE m.id > ? AND {_LIVE} ORDER BY m.id LIMIT ?"
        return [found for (found,) in self._read(lambda tx: tx.rows(sql, id, now, limit))]

    def records(self, ids: Sequence[str], *, now: int) -> dict[str, Record]:
        def work(tx: Transaction) -> dict[str, Record]:
            found: dict[str, Record] = {}
            for start in range(0, len(ids), _BATCH):
                batch = ids[start : start + _BATCH]
                of_ids = f"id IN ({_marks(batch)})"
                places = dict(tx.rows(f"SELECT id, place FROM media WHERE {of_ids}", *batch))
                media = tx.rows(f"{_MEDIA} WHERE m.{of_ids} AND {_LIVE}", *batch, now)
                claims: dict[str, list[Claim]] = {}
                for id, *claim in tx.rows(
                    f"SELECT k.id, {_CLAIM} FROM claims k WHERE k.{of_ids} ORDER BY k.owner", *batch
                ):
                    claims.setdefault(id, []).append(Claim(*claim))
                # Without an owner it has gone since it was read.
                for row in media:
                    if row[0] in claims:
                        found[row[0]] = Record(
                            _to_media(row), tuple(claims[row[0]]), places.get(row[0])
                        )
            return found

        return self._read(work) if ids else {}

    def take_in_ready(self, record: Record, *, storage_key: str | None, now: int) -> bool:
        def work(tx: Transaction) -> bool | None:
            media = record.media
            _lock_content(tx, media.sha256)
            if storage_key is not None:
                content = Content(media.sha256, media.mime, media.bytes)
                if not _keep_bytes(tx, content, storage_key, now=now):
                    return None
            elif not tx.rows("SELECT 1 FROM contents WHERE sha256 = ?", media.sha256):
                return False
            _take_in_ready(tx, record)
            for claim in record.claims:
                _take_in_claim(tx, media.id, claim, bytes=media.bytes)
            return True

        return _unless_lapsed(self._write(work), storage_key or "")

    def renditions_of(self, hashes: Sequence[str]) -> list[tuple[str, str, Rendition]]:
        columns = "storage_key, mime, bytes, width, height, failure_code, failure_message"

        def work(tx: Transaction) -> list[tuple[str, str, Rendition]]:
            return [
                (sha256, fit, Rendition(*rest))
                for start in range(0, len(hashes), _BATCH)
                for sha256, fit, *rest in tx.rows(
                    f"SELECT sha256, fit, {columns} FROM renditions WHERE sha256 IN"
                    f" ({_marks(hashes[start : start + _BATCH])}) ORDER BY sha256, fit",
                    *hashes[start : start + _BATCH],
                )
            ]

        return self._read(work)

    def drop_rendition(self, sha256: str, fit: str, *, now: int) -> None:
        def work(tx: Transaction) -> None:
            _lock_content(tx, sha256)
            for (key,) in tx.rows(
                "DELETE FROM renditions WHERE sha256 = ? AND fit = ? RETURNING storage_key",
                sha256,
                fit,
            ):
                if key:
                    _drop(tx, key, now=now)

        self._write(work)

    def take_in_unready(self, record: Record, *, key_due_at: int) -> None:
        def work(tx: Transaction) -> None:
            _take_in_unready(tx, record.media, key_due_at=key_due_at)
            for claim in record.claims:
                _take_in_claim(tx, record.media.id, claim, bytes=0)

        self._write(work)

    # --- API keys

    def add_api_key(self, key: ApiKey) -> None:
        row = asdict(key)
        row["group_names"] = json.dumps(row.pop("groups"))
        added = self._write(lambda tx: tx.insert_new("api_keys", **row))
        if not added:
            raise ValueError(f"there is an API key with the id {key.id} or the same hash already")

    def find_api_key(self, key_hash: str) -> ApiKey | None:
        found = self._read(lambda tx: tx.rows(f"{_API_KEY} WHERE key_hash = ?", key_hash))
        return _to_api_key(found[0]) if found else None

    def list_api_keys(self, *, prefix: str = "", owner: str | None = None) -> list[ApiKey]:
        of_owner, owners = ("", ()) if owner is None else (" AND owner = ?", (owner,))
        sql = f"{_API_KEY} WHERE substr(prefix, 1, ?) = ?{of_owner} ORDER BY created_at, id"
        found = self._read(lambda tx: tx.rows(sql, len(prefix), prefix, *owners))
        return [_to_api_key(row) for row in found]

    def revoke_api_key(self, id: str, *, now: int) -> bool:
        sql = "UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL"
        return self._write(lambda tx: tx.change(sql, now, id)) == 1


# --- locks


def _lock_content(tx: Transaction, *sha256: str) -> None:
    tx.lock([content_lock(each) for each in sha256])


def content_lock(sha256: str) -> str:
    """The name of a content's lock."""
    return f"content:{sha256}"


def _lock_sweep(tx: Transaction) -> None:
    tx.lock(["sweep"])


# --- what several transactions do; the content's lock is held


def _claim_live(
    tx: Transaction,
    content: Content,
    owner: str,
    details: FileDetails,
    now: int,
    expires_at: int,
    quota: Quota,
) -> Claimed | None:
    live = tx.rows(_FIRST_LIVE, content.sha256, now)
    if not live:
        return None
    ((id,),) = live
    tx.change(
        "UPDATE media SET expires_at = ? WHERE id = ? AND expires_at < ?",
        expires_at,
        id,
        expires_at,
    )
    _add_claim(tx, id, owner, details, now, expires_at, bytes=content.bytes, quota=quota)
    return Claimed(_media(tx, id), deduped=True)


def _keep_bytes(tx: Transaction, content: Content, storage_key: str, *, now: int) -> bool:
    """Make sure that the content is stored: as it was before, or under ``storage_key``.

    False if that key is needed and no longer held. Whenever the key is not used it is garbage.
    """
    stored = tx.rows("SELECT 1 FROM contents WHERE sha256 = ?", content.sha256)
    if not stored and tx.change(
        "DELETE FROM garbage WHERE storage_key = ? AND hold = 'held'", storage_key
    ):
        tx.insert("contents", **asdict(content), storage_key=storage_key)
        return True
    _drop(tx, storage_key, now=now)
    return bool(stored)


def _drop(tx: Transaction, storage_key: str, *, now: int) -> None:
    """Make a key due garbage that no commit may take, unless it is a content's."""
    tx.change(
        "INSERT INTO garbage (storage_key, due_at, hold)"
        " SELECT ?, ?, 'dropped'"
        " WHERE NOT EXISTS (SELECT 1 FROM contents WHERE storage_key = ?)"
        " ON CONFLICT (storage_key) DO UPDATE SET hold = 'dropped', due_at = excluded.due_at",
        storage_key,
        now,
        storage_key,
    )


def _drop_unreferenced(tx: Transaction, hashes: Sequence[str], *, now: int) -> int:
    """Turn those of the contents that no id refers to into due garbage; how many."""
    renditions, contents = (
        [
            key
            for (key,) in tx.rows(
                f"DELETE FROM {table} WHERE sha256 IN ({_marks(hashes)}) AND NOT EXISTS"
                f" (SELECT 1 FROM media m WHERE m.sha256 = {table}.sha256) RETURNING storage_key",
                *hashes,
            )
        ]
        for table in ("renditions", "contents")  # in this order: the ones refer to the others
    )
    keys = contents + [key for key in renditions if key]
    if keys:
        tx.change(
            "INSERT INTO garbage (storage_key, due_at, hold) VALUES "
            + ", ".join(["(?, ?, 'dropped')"] * len(keys)),
            *(parameter for key in keys for parameter in (key, now)),
        )
    return len(contents)


def _take_in_ready(tx: Transaction, record: Record) -> None:
    """Hold a ready id of a content that is stored."""
    media = record.media
    if tx.hold("SELECT id FROM media WHERE id = ? AND sha256 IS NULL", media.id):
        for owner in _owners(tx, media.id):  # it was not ready here, and had no bytes
            _charge(tx, owner, bytes=media.bytes, files=0)
    taken = tx.rows(
        "SELECT 1 FROM media WHERE sha256 = ? AND place = ? AND id <> ?",
        media.sha256,
        record.place,
        media.id,
    )
    tx.change(
        "INSERT INTO media (id, state, sha256, place, created_at, expires_at)"
        " VALUES (?, 'ready', ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
        " SET state = 'ready', expires_at = CASE WHEN media.state = 'ready'"
        " AND media.expires_at > excluded.expires_at THEN media.expires_at"
        " ELSE excluded.expires_at END, sha256 = COALESCE(media.sha256, excluded.sha256),"
        " place = COALESCE(media.place, excluded.place)",
        media.id,
        media.sha256,
        _next_place(tx, media.sha256) if taken else record.place,
        media.created_at,
        media.expires_at,
    )


def _take_in_unready(tx: Transaction, media: Media, *, key_due_at: int) -> None:
    """Hold a pending or rejected id, unless it has got further here."""
    tx.change(
        "INSERT INTO media (id, state, promised_mime, upload_key, created_at, expires_at,"
        " rejection_code, rejection_message) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET state = excluded.state,"
        " rejection_code = excluded.rejection_code,"
        " rejection_message = excluded.rejection_message WHERE media.state = 'pending'",
        media.id,
        media.state,
        media.mime,
        media.storage_key,
        media.created_at,
        media.expires_at,
        media.rejection_code,
        media.rejection_message,
    )
    tx.insert_new("garbage", storage_key=media.storage_key, due_at=key_due_at, hold="dropped")


def _next_place(tx: Transaction, sha256: str) -> int:
    ((place,),) = tx.rows(_NEXT_PLACE, sha256)
    return int(place)


def _owners(tx: Transaction, id: str) -> list[str]:
    return [owner for (owner,) in tx.rows("SELECT owner FROM claims WHERE id = ? ORDER BY 1", id)]


def _add_claim(
    tx: Transaction,
    id: str,
    owner: str,
    details: FileDetails,
    now: int,
    expires_at: int,
    *,
    bytes: int,
    quota: Quota = NO_QUOTA,
) -> None:
    """Make ``owner`` an owner of ``id``, whose content has ``bytes``. Raises `QuotaExceeded`."""
    end = None if details.lifetime is None else expires_at
    if tx.insert_new(
        "claims",
        owner=owner,
        id=id,
        created_at=now,
        expires_at=end,
        file_name=details.name,
        purpose=details.purpose,
    ):
        _charge(tx, owner, bytes=bytes, files=1, quota=quota)
        return
    tx.change(
        # One that has ended and was not swept begins anew.
        "UPDATE claims SET created_at = CASE WHEN expires_at <= ? THEN ? ELSE created_at END,"
        " expires_at = CASE WHEN expires_at < ? THEN ? ELSE expires_at END,"
        " file_name = COALESCE(NULLIF(?, ''), file_name),"
        " purpose = COALESCE(NULLIF(?, ''), purpose) WHERE owner = ? AND id = ?",
        *(now, now),
        *(_UNLIMITED if end is None else end, end),
        *(details.name, details.purpose, owner, id),
    )


def _take_in_claim(tx: Transaction, id: str, claim: Claim, *, bytes: int) -> None:
    """Hold a claim of another catalog, merged with that of the same owner if there is one."""
    known = tx.rows(
        f"SELECT {_CLAIM} FROM claims k WHERE k.owner = ? AND k.id = ?", claim.owner, id
    )
    if known:
        tx.change("DELETE FROM claims WHERE owner = ? AND id = ?", claim.owner, id)
        claim = merged(Claim(*known[0]), claim)
    else:
        _charge(tx, claim.owner, bytes=bytes, files=1)
    tx.insert(
        "claims",
        owner=claim.owner,
        id=id,
        created_at=claim.created_at,
        expires_at=claim.expires_at,
        file_name=claim.name,
        purpose=claim.purpose,
    )


def _expire_claims(tx: Transaction, *, now: int, limit: int) -> Expired:
    """End claims that were to end before their media."""
    over = tx.rows(
        "SELECT k.owner, k.id, m.sha256 FROM claims k JOIN media m ON m.id = k.id"
        " WHERE k.expires_at <= ? AND m.sha256 IS NOT NULL ORDER BY k.expires_at, k.id LIMIT ?",
        now,
        limit,
    )
    hashes = sorted({sha256 for _, _, sha256 in over})
    _lock_content(tx, *hashes)
    ended = [
        (owner, id)
        for owner, id, _ in sorted(over)
        if tx.change(
            # Unless it was renewed since it was read.
            "DELETE FROM claims WHERE owner = ? AND id = ? AND expires_at <= ?",
            *(owner, id, now),
        )
    ]
    gone = [id for owner, id in ended if _after_claim(tx, id, owner)]
    contents = _drop_unreferenced(tx, hashes, now=now) if gone else 0
    return Expired(media=len(gone), uploads=0, contents=contents, claims=len(ended))


def _after_claim(tx: Transaction, id: str, owner: str) -> bool:
    """What follows when a claim has been deleted; whether the id went, as it does with the last."""
    _give_back(tx, owner, bytes=_media(tx, id).bytes)
    if tx.rows("SELECT 1 FROM claims WHERE id = ? LIMIT 1", id):
        return False
    tx.change("DELETE FROM media WHERE id = ?", id)
    return True


# --- what an owner keeps


def _usage(tx: Transaction, owner: str) -> Usage:
    found = tx.rows("SELECT bytes, files FROM usage WHERE owner = ?", owner)
    return Usage(*found[0]) if found else Usage(0, 0)


def _charge(
    tx: Transaction, owner: str, *, bytes: int, files: int, quota: Quota = NO_QUOTA
) -> None:
    """Add to what ``owner`` keeps. Raises `QuotaExceeded`, which undoes the transaction.

    The check and the change are one statement, and the row is locked by it: of two uploads that
    would both just fit, the second sees the first.
    """
    most_bytes, most_files = quota.bytes or _UNLIMITED, quota.files or _UNLIMITED
    charged = tx.change(
        "INSERT INTO usage (owner, bytes, files) SELECT ?, ?, ? WHERE ? <= ? AND ? <= ?"
        " ON CONFLICT (owner) DO UPDATE SET bytes = usage.bytes + excluded.bytes,"
        " files = usage.files + excluded.files"
        " WHERE usage.bytes + excluded.bytes <= ? AND usage.files + excluded.files <= ?",
        *(owner, bytes, files),
        *(bytes, most_bytes, files, most_files),
        *(most_bytes, most_files),
    )
    if not charged:
        raise QuotaExceeded(_usage(tx, owner), quota)


def _require_room(used: Usage, bytes: int, quota: Quota) -> None:
    """Raise `QuotaExceeded` if there is no room for one file of ``bytes`` more."""
    most_bytes, most_files = quota.bytes or _UNLIMITED, quota.files or _UNLIMITED
    if used.bytes + bytes > most_bytes or used.files + 1 > most_files:
        raise QuotaExceeded(used, quota)


def _give_back(tx: Transaction, owner: str, *, bytes: int) -> None:
    """Take one file of ``bytes`` from what ``owner`` keeps. Who keeps nothing has no row."""
    tx.change("UPDATE usage SET bytes = bytes - ?, files = files - 1 WHERE owner = ?", bytes, owner)
    tx.change("DELETE FROM usage WHERE owner = ? AND files = 0", owner)


def _give_back_all(tx: Transaction, ids: Sequence[str]) -> None:
    """Take ids from what their owners keep, before they and their claims go."""
    tx.change(
        "UPDATE usage SET bytes = usage.bytes - gone.bytes, files = usage.files - gone.files FROM ("
        " SELECT k.owner, COUNT(*) AS files, SUM(COALESCE(c.bytes, 0)) AS bytes"
        f" {_MEDIA_TABLES} JOIN claims k ON k.id = m.id WHERE m.id IN ({_marks(ids)})"
        " GROUP BY k.owner) AS gone WHERE gone.owner = usage.owner",
        *ids,
    )
    tx.change("DELETE FROM usage WHERE files = 0")  # which has an index of its own


def _unless_lapsed(outcome: T | None, storage_key: str) -> T:
    # Raised after the transaction, which has made the key garbage again and must stand.
    if outcome is None:
        raise IntentLapsed(f"the storage key {storage_key} is no longer held")
    return outcome


# --- rows


def _media(tx: Transaction, id: str) -> Media:
    (row,) = tx.rows(f"{_MEDIA} WHERE m.id = ?", id)
    return _to_media(row)


def _live_media(tx: Transaction, id: str, *, now: int) -> Media | None:
    found = tx.rows(f"{_MEDIA} WHERE m.id = ? AND {_LIVE}", id, now)
    return _to_media(found[0]) if found else None


def _to_media(row: Sequence[Any]) -> Media:
    id, state, *rest = row
    return Media(id, State(state), *rest)


def _to_api_key(row: tuple[Any, ...]) -> ApiKey:
    id, prefix, key_hash, owner, groups, *times = row
    return ApiKey(id, prefix, key_hash, owner, tuple(json.loads(groups)), *times)


def _marks(values: Sequence[str]) -> str:
    """Placeholders for ``IN (…)``; PostgreSQL knows no empty list, and nothing is in (NULL)."""
    return ", ".join("?" * len(values)) or "NULL"
