"""The catalog: ids, their owners and their contents, in transactions that both databases can do.

Why concurrent transactions cannot harm each other
    Every transaction that gives a content an id, removes one, or creates or removes the content
    first locks it (`steps.lock_content`), and reads only then. So a claim never joins an id that a
    concurrent release or expiry is removing, two first uploads of one content cannot both be first,
    and a content loses its row exactly when its last id is removed; in the same transaction its key
    becomes garbage. An id that is not ready yet has no content to lock; its row is locked instead
    (`Transaction.hold`).

    A storage key is handed over by one statement on its garbage row, which only one transaction
    can win: a commit deletes the row if it is ``held``, a sweep sets it to ``taken``.

    Locks are always taken in one order, so that no two transactions wait for each other: the
    sweep's, then contents (several only by `expire`, sorted), then media rows, then garbage rows,
    then usage rows. `steps.end_claims` changes usage rows first, when the contents and rows that it
    ends are locked already. It cannot choose the order of several usage rows: if two transactions
    wait for each other there, PostgreSQL ends one, and it runs again.
    `release` has to look at an id before it knows which content to lock; if the id changed
    meanwhile it starts again (`Overtaken`).

The garbage row of a key (``hold``)
    ``held``: bytes are being written, and a commit may still take the key. ``dropped``: no commit
    may. ``taken``: a sweep is deleting the bytes; it is given out again until it is forgotten. A
    late commit turns ``taken`` back into ``dropped``: its bytes may have been written after the
    sweep's deletion, so that sweep must not forget the key, and the next one deletes again.
"""

# ruff: noqa: S608 (what is put into statements is placeholders and constants)

from collections.abc import Callable, Sequence
from dataclasses import asdict

from jan_media.catalog import steps
from jan_media.catalog.api_keys import ApiKeys
from jan_media.catalog.database import BATCH, Overtaken, Transaction, marks, transaction
from jan_media.catalog.interface import (
    NO_QUOTA,
    Claim,
    Claimed,
    Content,
    Expired,
    Media,
    Owned,
    Page,
    Position,
    Quota,
    Released,
    Rendition,
    State,
    Usage,
)
from jan_media.catalog.steps import CLAIM, COLUMNS, LIVE, MEDIA, MEDIA_TABLES
from jan_media.catalog.transfer import Transfer

# The id of a content with which to answer an upload. The parameters are its hash and now.
_FIRST_LIVE = "SELECT id FROM media WHERE sha256 = ? AND expires_at > ? ORDER BY place LIMIT 1"


class Catalog(ApiKeys, Transfer):
    """Ids, their owners and their contents. `interface` has the promises of every method."""

    # --- bytes on their way in

    @transaction
    def intend(self, tx: Transaction, storage_key: str, *, due_at: int) -> None:
        """Hold a fresh key for bytes about to be written; garbage from ``due_at`` on.

        ``due_at`` must be later than the end of the write. If a sweep overtakes a writer, the
        writer's commit fails and its bytes are swept. But a writer that is overtaken, writes and
        then dies leaves bytes that no row knows of.

        Repeating it changes nothing.
        """
        tx.insert_new("garbage", storage_key=storage_key, due_at=due_at, hold="held")

    def claim_known(
        self, content: Content, claim: Claim, *, expires_at: int, quota: Quota = NO_QUOTA
    ) -> Claimed | None:
        """Claim a content that is already stored and has a live id; None if there is none.

        ``claim`` is made now: its date says when. Of several ids it is the one that became ready
        first, so that a direct upload of the same bytes, completed later under an older id, does
        not change the answer. Its retention becomes the later of its own and ``expires_at``, and
        the claim's owner owns it too. ``deduped`` is True. A claim that the owner has already is
        `joined` with this one. Raises `QuotaExceeded` unless there is one.
        """
        seen = self._rows(
            f"SELECT {CLAIM}, {COLUMNS} {MEDIA_TABLES}"
            f" LEFT JOIN claims k ON k.id = m.id AND k.owner = ? WHERE m.id = ({_FIRST_LIVE})",
            *(claim.owner, content.sha256, claim.created_at),
        )
        if not seen:
            return None
        columns, media = seen[0][:5], steps.to_media(seen[0][5:])
        known = None if columns[0] is None else Claim(*columns)
        if known and claim.joined(known) == known and media.expires_at >= expires_at:
            return Claimed(media, deduped=True)  # nothing to change
        return self._transact(
            lambda tx: _claim_live(tx, content, claim, expires_at=expires_at, quota=quota)
        )

    @transaction
    def commit_upload(
        self,
        tx: Transaction,
        new_id: str,
        content: Content,
        storage_key: str,
        claim: Claim,
        *,
        expires_at: int,
        quota: Quota = NO_QUOTA,
    ) -> Claimed:
        """Give bytes just written under an intended ``storage_key`` their id.

        If a live id of that content exists by now (another upload was faster), it is claimed as
        by `claim_known` and ``storage_key`` becomes due garbage. If the content is stored but no
        live id has it, ``new_id`` shares the stored bytes and ``storage_key`` becomes due
        garbage. Otherwise ``storage_key`` becomes the content's. Under any number of concurrent
        calls for one content exactly one answers ``deduped=False``.

        Raises `IntentLapsed` if a sweep has taken ``storage_key`` and it would be needed; the key
        is due garbage then, so bytes written after the sweep's deletion go as well. Raises
        `QuotaExceeded`; ``storage_key`` is held as before then.

        Repeating a commit whose answer was lost is harmless and answers the same.
        """
        now = claim.created_at
        claimed = _claim_live(tx, content, claim, expires_at=expires_at, quota=quota)
        if claimed is not None:
            steps.drop(tx, storage_key, now=now)
            # The id can only be there already if this very commit was done before and its
            # answer got lost; then it is still the first one.
            return Claimed(claimed.media, deduped=claimed.media.id != new_id)
        steps.keep_bytes(tx, content, storage_key, now=now)
        tx.insert(
            "media",
            id=new_id,
            state=State.READY.value,
            sha256=content.sha256,
            place=steps.next_place(tx, content.sha256),
            created_at=now,
            expires_at=expires_at,
        )
        steps.add_claim(tx, new_id, claim, bytes=content.bytes, quota=quota)
        return Claimed(steps.media_of(tx, new_id), deduped=False)

    # --- direct upload

    @transaction
    def create_pending(
        self,
        tx: Transaction,
        new_id: str,
        mime: str,
        upload_key: str,
        claim: Claim,
        *,
        upload_until: int,
        quota: Quota = NO_QUOTA,
    ) -> Media:
        """Promise ``new_id`` to a direct upload, which will have ended by ``upload_until``.

        ``upload_key`` is garbage from ``upload_until`` on whatever happens, since its upload
        policy could write it again. That has to outlast the policy by as much as an upload takes:
        one that ends after the key is forgotten is never deleted. Raises `QuotaExceeded`.
        """
        tx.insert(
            "media",
            id=new_id,
            state=State.PENDING.value,
            promised_mime=mime,
            upload_key=upload_key,
            created_at=claim.created_at,
            expires_at=upload_until,
        )
        tx.insert("garbage", storage_key=upload_key, due_at=upload_until, hold="dropped")
        steps.add_claim(tx, new_id, claim, bytes=0, quota=quota)
        return steps.media_of(tx, new_id)

    @transaction
    def complete_pending(
        self,
        tx: Transaction,
        id: str,
        content: Content,
        storage_key: str,
        *,
        now: int,
        expires_at: int,
        quota_of: Callable[[str], Quota] = lambda owner: NO_QUOTA,
    ) -> Media | None:
        """Turn a pending id into a ready one whose bytes are under an intended ``storage_key``.

        Shares the stored bytes of a content that is known (``storage_key`` is then due garbage).
        A pending id past its time can still be completed, as long as `expire` has not removed it.
        If the id is no longer pending, changes nothing of it, makes ``storage_key`` due garbage
        and returns the id as it is, or None if it is gone. Raises `IntentLapsed` as above, and
        `QuotaExceeded` if an owner of the id would have more than ``quota_of`` it.
        """
        steps.lock_content(tx, content.sha256)
        if not tx.hold("SELECT id FROM media WHERE id = ? AND state = 'pending'", id):
            steps.drop(tx, storage_key, now=now)
            return steps.live_media(tx, id, now=now)
        steps.keep_bytes(tx, content, storage_key, now=now)
        tx.change(
            "UPDATE media SET state = 'ready', sha256 = ?, place = ?, expires_at = ? WHERE id = ?",
            *(content.sha256, steps.next_place(tx, content.sha256), expires_at, id),
        )
        for owner in steps.owners(tx, id):
            steps.charge(tx, owner, bytes=content.bytes, files=0, quota=quota_of(owner))
        return steps.media_of(tx, id)

    @transaction
    def reject_pending(
        self, tx: Transaction, id: str, code: str, message: str, *, now: int
    ) -> Media | None:
        """Mark a pending id as refused until its upload time ends. Returns the id as it is now."""
        tx.change(
            "UPDATE media SET state = 'rejected', rejection_code = ?, rejection_message = ?"
            " WHERE id = ? AND state = 'pending'",
            *(code, message, id),
        )
        return steps.live_media(tx, id, now=now)

    def overdue_uploads(self, *, now: int, limit: int, after: str = "") -> list[Media]:
        """Pending ids past their time, sorted by id; only those above ``after``."""
        sql = (
            f"{MEDIA} WHERE m.state = 'pending' AND m.expires_at <= ? AND m.id > ?"
            " ORDER BY m.id LIMIT ?"
        )
        return [steps.to_media(row) for row in self._rows(sql, now, after, limit)]

    # --- reading

    def get_many(self, ids: Sequence[str], *, now: int) -> dict[str, Media]:
        """Return those of ``ids`` (canonical form) that exist and have not expired, by id.

        Pending ones are returned past their time too, until `expire` removes them: the catalog does
        not know whether they were uploaded in time.
        """
        sql = f"{MEDIA} WHERE m.id IN ({{}}) AND {LIVE}"
        rows = self._read(lambda tx: tx.among(sql, ids, now)) if ids else []
        return {row[0]: steps.to_media(row) for row in rows}

    def claim_of(self, id: str, owner: str, *, now: int) -> Claim | None:
        """The claim of ``owner`` on ``id``; None if there is none, or if it has ended."""
        claim = self._read(lambda tx: steps.claim_of(tx, id, owner))
        return None if claim is None or claim.has_ended(now) else claim

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
    ) -> Page:
        """Ready media of ``owner`` by the date of its own upload, newest first, up to ``limit``.

        ``after`` restricts the list to what follows that position in this order, ``purpose`` to
        media with it (`Owned.purpose`), and ``ids``, up to a hundred, to these.
        """
        follows, order = (">", "ASC") if oldest_first else ("<", "DESC")
        beyond = "" if after is None else f" AND (k.created_at, k.id) {follows} (?, ?)"
        with_purpose = " AND k.listed_as = ?" if purpose else ""
        of_ids = "" if ids is None else f" AND k.id IN ({marks(ids)})"
        # With the plus, SQLite does not scan all media of an owner, in order, for a few ids.
        date = "k.created_at" if ids is None else "+k.created_at"
        sql = (
            f"SELECT {CLAIM}, {COLUMNS} {MEDIA_TABLES} JOIN claims k ON k.id = m.id"
            " WHERE k.owner = ? AND (k.expires_at IS NULL OR k.expires_at > ?)"
            " AND m.state = 'ready' AND m.expires_at > ?"
            f"{beyond}{with_purpose}{of_ids}"
            f" ORDER BY {date} {order}, k.id {order} LIMIT ?"
        )
        wanted = (*(after or ()), *((purpose,) if purpose else ()), *(ids or ()))
        rows = self._rows(sql, owner, now, now, *wanted, limit + 1)
        owned = [Owned(steps.to_media(row[5:]), Claim(*row[:5])) for row in rows[:limit]]
        return Page(owned, more=len(rows) > limit)

    def usage(self, owner: str) -> Usage:
        """What ``owner`` keeps."""
        found = self._rows("SELECT bytes, files FROM usage WHERE owner = ?", owner)
        return Usage(*found[0]) if found else Usage(0, 0)

    # --- renditions

    def renditions(self, hashes: Sequence[str], fit: str = "") -> dict[tuple[str, str], Rendition]:
        """The known renditions of the contents with these SHA-256, by SHA-256 and the name of the
        limits: those of one ``fit``, or all."""
        return self._read(lambda tx: steps.renditions(tx, hashes, fit))

    @transaction
    def keep_rendition(
        self, tx: Transaction, sha256: str, fit: str, rendition: Rendition, *, now: int
    ) -> Rendition | None:
        """Keep the rendition of a content for the limits of that name; its key, if it has one, was
        intended.

        The first one stays, and is returned; the key of a later one becomes due garbage. None,
        and the key due garbage, if the content is gone. A rendition goes with its content: its
        key becomes due garbage then. Raises `IntentLapsed` as `commit_upload` does.
        """
        steps.lock_content(tx, sha256)
        kept = steps.renditions(tx, [sha256], fit).get((sha256, fit))
        key = rendition.storage_key
        if kept or not steps.is_stored(tx, sha256):
            if key and not (kept and kept.storage_key == key):
                steps.drop(tx, key, now=now)
            return kept
        if key:
            steps.take_over(tx, key, now=now)
        tx.insert("renditions", sha256=sha256, fit=fit, **asdict(rendition))
        return rendition

    # --- the end of life

    @transaction
    def release(self, tx: Transaction, id: str, owner: str, *, now: int) -> Released:
        """Give up ``owner``'s claim. The last claim's end removes the id, and its content becomes
        due garbage once no id refers to it."""
        seen = tx.rows(f"SELECT m.sha256 FROM media m WHERE m.id = ? AND {LIVE}", id, now)
        if not seen:
            return Released.NOT_FOUND
        sha256: str | None = seen[0][0]
        if sha256 is not None:
            steps.lock_content(tx, sha256)
        held = tx.hold("SELECT sha256 FROM media WHERE id = ?", id)
        if not held:
            return Released.NOT_FOUND
        if held != seen:
            raise Overtaken  # completed meanwhile: its content must be locked first
        ended, gone = steps.end_claims(tx, [id], "k.owner = ?", owner)
        if not ended:
            return Released.NOT_OWNER
        if not gone:
            return Released.SHARED
        if sha256 is not None:
            steps.drop_unreferenced(tx, [sha256], now=now)
        return Released.GONE

    @transaction
    def expire(self, tx: Transaction, *, now: int, limit: int) -> Expired:
        """Remove up to ``limit`` ids whose time is over; or the claims that end earlier, on up to
        as many ids.

        An id goes with its last claim; unreferenced contents become due garbage. It may remove
        fewer than ``limit`` at a time. All zeros mean that nothing was left to do.
        """
        tx.lock(["sweep"])
        limit = min(limit, BATCH)
        media = tx.rows(
            "SELECT id, sha256 FROM media WHERE expires_at <= ? ORDER BY expires_at, id LIMIT ?",
            *(now, limit),
        )
        over = media or tx.rows(
            "SELECT k.id, m.sha256 FROM claims k JOIN media m ON m.id = k.id"
            " WHERE k.expires_at <= ? AND m.sha256 IS NOT NULL ORDER BY k.expires_at, k.id LIMIT ?",
            *(now, limit),
        )
        ids = [id for id, _ in over]
        hashes = sorted({sha256 for _, sha256 in over if sha256 is not None})
        steps.lock_content(tx, *hashes)
        if media:
            # Some were renewed or completed since, so not expired, or their content not locked.
            held = tx.hold(
                f"SELECT id FROM media WHERE id IN ({marks(ids)}) AND expires_at <= ?"
                f" AND (sha256 IS NULL OR sha256 IN ({marks(hashes)}))",
                *(*ids, now, *hashes),
            )
            if not held:
                raise Overtaken  # others may have expired: all zeros would say that none has
            ids = [id for (id,) in held]
        which = ("TRUE",) if media else ("k.expires_at <= ?", now)  # one may have been renewed
        ended, states = steps.end_claims(tx, ids, *which)
        ready = states.count(State.READY)
        return Expired(
            media=ready,
            uploads=len(states) - ready,
            contents=steps.drop_unreferenced(tx, hashes, now=now),
            claims=0 if media else ended,
        )

    def count_expired(self, *, now: int) -> Expired:
        """What `expire` without a limit would remove, without changing anything (for a dry run)."""
        sql = """
            SELECT (SELECT COUNT(*) FROM media WHERE expires_at <= ? AND state = 'ready'),
                   (SELECT COUNT(*) FROM media WHERE expires_at <= ? AND state <> 'ready'),
                   (SELECT COUNT(*) FROM contents c WHERE NOT EXISTS (
                        SELECT 1 FROM media m WHERE m.sha256 = c.sha256 AND m.expires_at > ?)),
                   (SELECT COUNT(*) FROM claims k JOIN media m ON m.id = k.id
                    WHERE k.expires_at <= ? AND m.expires_at > ?)
        """
        (numbers,) = self._rows(sql, now, now, now, now, now)
        return Expired(*numbers)

    @transaction
    def take_garbage(self, tx: Transaction, *, now: int, limit: int) -> list[str]:
        """Take up to ``limit`` due keys for deletion. A taken key can no longer be committed.

        A key that was taken and not forgotten (the sweep died) is given out again by a later
        call, after those that have been due for longer.
        """
        tx.lock(["sweep"])
        # A taken key goes to the end of the queue, so that keys whose bytes cannot be deleted do
        # not block others.
        taken = tx.rows(
            "UPDATE garbage SET hold = 'taken', due_at = ? WHERE due_at <= ?"
            " AND storage_key IN (SELECT storage_key FROM garbage WHERE due_at <= ?"
            " ORDER BY due_at, storage_key LIMIT ?) RETURNING storage_key",
            *(now, now, now, limit),
        )
        return [key for (key,) in taken]

    @transaction
    def forget_garbage(self, tx: Transaction, storage_keys: Sequence[str]) -> None:
        """Drop taken keys whose bytes have been deleted.

        A key that a late commit has made garbage again since it was taken stays: see
        `commit_upload`.
        """
        tx.lock(["sweep"])
        tx.among(
            "DELETE FROM garbage WHERE storage_key IN ({}) AND hold = 'taken'"
            " RETURNING storage_key",
            storage_keys,
        )

    def count_garbage(self, *, now: int) -> int:
        """How many keys are due."""
        sql = "SELECT COUNT(*) FROM garbage WHERE due_at <= ?"
        ((count,),) = self._rows(sql, now)
        return int(count)

    @transaction
    def lease(self, tx: Transaction, name: str, holder: str, *, now: int, until: int) -> bool:
        """Take or renew a named lease; False while another holder's has not expired."""
        sql = (
            "INSERT INTO leases (name, holder, ends_at) VALUES (?, ?, ?) ON CONFLICT (name)"
            " DO UPDATE SET holder = excluded.holder, ends_at = excluded.ends_at"
            " WHERE leases.holder = excluded.holder OR leases.ends_at <= ?"
        )
        return tx.change(sql, name, holder, until, now) == 1

    def counts(self) -> dict[str, int]:
        """Sizes for metrics: ``media`` (ready ids), ``pending``, ``contents``, ``content_bytes``,
        ``garbage`` (keys, due or not). What is over and not yet swept is included."""
        rows = self._rows("""
            SELECT 'media', COUNT(*) FROM media WHERE state = 'ready'
            UNION ALL SELECT 'pending', COUNT(*) FROM media WHERE state = 'pending'
            UNION ALL SELECT 'contents', COUNT(*) FROM contents
            UNION ALL SELECT 'content_bytes', COALESCE(SUM(bytes), 0) FROM contents
            UNION ALL SELECT 'garbage', COUNT(*) FROM garbage
        """)
        return {name: int(number) for name, number in rows}


def _claim_live(
    tx: Transaction, content: Content, claim: Claim, *, expires_at: int, quota: Quota
) -> Claimed | None:
    """Claim the content's live id, if there is one. From then on, its lock is held in any case."""
    steps.lock_content(tx, content.sha256)
    live = tx.rows(_FIRST_LIVE, content.sha256, claim.created_at)
    if not live:
        return None
    ((id,),) = live
    tx.change(
        "UPDATE media SET expires_at = ? WHERE id = ? AND expires_at < ?",
        *(expires_at, id, expires_at),
    )
    steps.add_claim(tx, id, claim, bytes=content.bytes, quota=quota)
    return Claimed(steps.media_of(tx, id), deduped=True)
