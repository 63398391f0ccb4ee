"""Moves ids from one catalog to another, in the same databases but independent of the rest.

It keeps what owners see of an id: the id, their claims, its times, and its place among the ids of
its content. It does not keep storage keys: the bytes are written again, under a new key of the
other catalog, by the same intend, write and commit as for an upload. So a transfer that is killed
at any moment leaves a consistent catalog, and running it again does the rest.

Times are Unix milliseconds. Every method raises `CatalogUnavailable`.
"""

# ruff: noqa: S608 (what is put into statements is constants)

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from jan_media.catalog import steps
from jan_media.catalog.database import Database, Transaction, transaction
from jan_media.catalog.interface import Claim, Content, Media, State
from jan_media.catalog.steps import CLAIM, COLUMNS, LIVE, MEDIA_TABLES


@dataclass(frozen=True, slots=True)
class Record:
    """All that a catalog knows of one id."""

    media: Media
    claims: tuple[Claim, ...]  # by owner, in the order of their text
    place: int | None  # when ready: among the ids of its content, as they became ready

    @property
    def owners(self) -> tuple[str, ...]:
        """Who has a claim."""
        return tuple(claim.owner for claim in self.claims)

    def covers(self, other: "Record") -> bool:
        """Whether ``other`` adds nothing to a catalog that has this record."""
        settled = self.media.state is other.media.state or other.media.state is State.PENDING
        ours = {claim.owner: claim for claim in self.claims}
        return (
            settled
            and self.media.expires_at >= other.media.expires_at
            and all(
                claim.owner in ours and ours[claim.owner].joined(claim) == ours[claim.owner]
                for claim in other.claims
            )
        )


class Transfer(Database):
    """Reads all of a catalog, and adds what another catalog has."""

    def ids_after(self, id: str, *, now: int, limit: int) -> list[str]:
        """Up to ``limit`` ids above ``id`` that have not expired, in ascending order.

        Pending ones count as long as `Catalog.get_many` returns them. The same holds for `records`.
        """
        sql = f"SELECT m.id FROM media m WHERE m.id > ? AND {LIVE} ORDER BY m.id LIMIT ?"
        return [found for (found,) in self._rows(sql, id, now, limit)]

    def records(self, ids: Sequence[str], *, now: int) -> dict[str, Record]:
        """What is known of those of ``ids`` (canonical form) that exist, by id."""
        of_media = f"SELECT m.place, {COLUMNS} {MEDIA_TABLES} WHERE m.id IN ({{}}) AND {LIVE}"
        of_claims = f"SELECT k.id, {CLAIM} FROM claims k WHERE k.id IN ({{}}) ORDER BY k.owner"
        found = self._read(lambda tx: tx.among(of_media, ids, now))
        claims: dict[str, list[Claim]] = defaultdict(list)
        for id, *claim in self._read(lambda tx: tx.among(of_claims, ids)):
            claims[id].append(Claim(*claim))
        return {
            row[0]: Record(steps.to_media(row), tuple(claims[row[0]]), place)
            for place, *row in found
            if row[0] in claims  # one without an owner was deleted since it was read
        }

    @transaction
    def take_in_ready(
        self, tx: Transaction, record: Record, *, storage_key: str | None, now: int
    ) -> bool:
        """Add a ready id, with its owners besides any that it has here, and with the later end.

        A claim that is here too is `Claim.joined` with the other.

        If its content is stored here already, the bytes are shared, and ``storage_key`` becomes
        due garbage. If it is not, ``storage_key`` becomes the content's: an intended key with the
        bytes under it; without one nothing is changed and the answer is False. Raises
        `IntentLapsed` as `Catalog.commit_upload` does. Repeating it changes nothing.
        """
        media = record.media
        steps.lock_content(tx, media.sha256)
        if storage_key is not None:
            content = Content(media.sha256, media.mime, media.bytes)
            steps.keep_bytes(tx, content, storage_key, now=now)
        elif not steps.is_stored(tx, media.sha256):
            return False
        if tx.hold("SELECT id FROM media WHERE id = ? AND sha256 IS NULL", media.id):
            for owner in steps.owners(tx, media.id):  # it was not ready here, and had no bytes
                steps.charge(tx, owner, bytes=media.bytes, files=0)
        taken = tx.rows(
            "SELECT 1 FROM media WHERE sha256 = ? AND place = ? AND id <> ?",
            *(media.sha256, record.place, media.id),
        )
        place = steps.next_place(tx, media.sha256) if taken else record.place
        tx.change(
            "INSERT INTO media (id, state, sha256, place, created_at, expires_at)"
            " VALUES (?, 'ready', ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
            " SET state = 'ready', expires_at = CASE WHEN media.state = 'ready'"
            " AND media.expires_at > excluded.expires_at THEN media.expires_at"
            " ELSE excluded.expires_at END, sha256 = COALESCE(media.sha256, excluded.sha256),"
            " place = COALESCE(media.place, excluded.place)",
            *(media.id, media.sha256, place, media.created_at, media.expires_at),
        )
        for claim in record.claims:
            _take_in_claim(tx, media.id, claim, bytes=media.bytes)
        return True

    @transaction
    def take_in_unready(self, tx: Transaction, record: Record, *, key_due_at: int) -> None:
        """Add a pending or rejected id with its upload key, garbage from ``key_due_at`` on.

        An id that is ready here stays so, whatever the record says. Repeating it changes nothing.
        """
        media = record.media
        tx.change(
            "INSERT INTO media (id, state, promised_mime, upload_key, created_at, expires_at,"
            " rejection_code, rejection_message) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET state = excluded.state,"
            " rejection_code = excluded.rejection_code,"
            " rejection_message = excluded.rejection_message WHERE media.state = 'pending'",
            *(media.id, media.state, media.mime, media.storage_key, media.created_at),
            *(media.expires_at, media.rejection_code, media.rejection_message),
        )
        tx.insert_new("garbage", storage_key=media.storage_key, due_at=key_due_at, hold="dropped")
        for claim in record.claims:
            _take_in_claim(tx, media.id, claim, bytes=0)

    @transaction
    def drop_rendition(self, tx: Transaction, sha256: str, fit: str, *, now: int) -> None:
        """Forget a rendition, so that it is made anew; its key becomes due garbage."""
        sql = "DELETE FROM renditions WHERE sha256 = ? AND fit = ? RETURNING storage_key"
        steps.lock_content(tx, sha256)
        for (key,) in tx.rows(sql, sha256, fit):
            if key:
                steps.drop(tx, key, now=now)


def _take_in_claim(tx: Transaction, id: str, claim: Claim, *, bytes: int) -> None:
    """Add a claim of another catalog; what ours says about the same file stays."""
    ours = steps.claim_of(tx, id, claim.owner)
    steps.add_claim(tx, id, ours.joined(claim) if ours else claim, bytes=bytes)
