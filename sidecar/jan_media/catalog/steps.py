"""Steps that several transactions of the catalog share, and how rows are read."""

# ruff: noqa: S608 (what is put into statements is placeholders and constants of this file)

from collections.abc import Sequence
from dataclasses import asdict, astuple
from typing import Any

from jan_media.catalog.database import Transaction
from jan_media.catalog.interface import (
    NO_QUOTA,
    Claim,
    Content,
    IntentLapsed,
    Media,
    Quota,
    Rendition,
    State,
    Usage,
)

COLUMNS = """
    m.id, m.state, COALESCE(c.mime, m.promised_mime), COALESCE(c.bytes, 0),
    COALESCE(m.sha256, ''), COALESCE(c.storage_key, m.upload_key),
    m.created_at, m.expires_at, m.rejection_code, m.rejection_message
"""
MEDIA_TABLES = "FROM media m LEFT JOIN contents c ON c.sha256 = m.sha256"
MEDIA = f"SELECT {COLUMNS} {MEDIA_TABLES}"
# The parameter is now. A pending id counts after its time: it may have been uploaded in time.
LIVE = "(m.expires_at > ? OR m.state = 'pending')"
CLAIM = "k.owner, k.created_at, k.expires_at, k.file_name, k.purpose"


def lock_content(tx: Transaction, *sha256: str) -> None:
    """Wait until no other transaction has locked these contents; keep them locked to the end."""
    tx.lock([f"content:{each}" for each in sha256])


# --- keys and contents; the content's lock is held


def is_stored(tx: Transaction, sha256: str) -> bool:
    """Whether the content has bytes."""
    return bool(tx.rows("SELECT 1 FROM contents WHERE sha256 = ?", sha256))


def keep_bytes(tx: Transaction, content: Content, storage_key: str, *, now: int) -> None:
    """Make sure that the content is stored: where it was before, or under ``storage_key``.

    Raises `IntentLapsed` if that key is needed and no longer held. If the key is not used, it
    is garbage.
    """
    if is_stored(tx, content.sha256):
        drop(tx, storage_key, now=now)
    else:
        take_over(tx, storage_key, now=now)
        tx.insert("contents", **asdict(content), storage_key=storage_key)


def take_over(tx: Transaction, storage_key: str, *, now: int) -> None:
    """Take an intended key out of the garbage. Raises `IntentLapsed`; it is due garbage then."""
    if not tx.change("DELETE FROM garbage WHERE storage_key = ? AND hold = 'held'", storage_key):
        drop(tx, storage_key, now=now)
        raise IntentLapsed(f"the storage key {storage_key} is no longer held")


def drop(tx: Transaction, storage_key: str, *, now: int) -> None:
    """Make a key due garbage that no commit may take, unless it is a content's."""
    tx.change(
        "INSERT INTO garbage (storage_key, due_at, hold)"
        " SELECT ?, ?, 'dropped'"
        " WHERE NOT EXISTS (SELECT 1 FROM contents WHERE storage_key = ?)"
        " ON CONFLICT (storage_key) DO UPDATE SET hold = 'dropped', due_at = excluded.due_at",
        *(storage_key, now, storage_key),
    )


def drop_unreferenced(tx: Transaction, hashes: Sequence[str], *, now: int) -> int:
    """Turn those contents that no id refers to into due garbage; returns their number."""
    renditions, contents = (
        tx.among(
            f"DELETE FROM {table} WHERE sha256 IN ({{}}) AND NOT EXISTS"
            f" (SELECT 1 FROM media m WHERE m.sha256 = {table}.sha256) RETURNING storage_key",
            hashes,
        )
        for table in ("renditions", "contents")  # in this order, since renditions refer to contents
    )
    for (key,) in renditions + contents:
        if key:
            drop(tx, key, now=now)
    return len(contents)


def renditions(
    tx: Transaction, hashes: Sequence[str], fit: str = ""
) -> dict[tuple[str, str], Rendition]:
    """The known renditions of contents, by the contents' SHA-256 and the name of the limits: those
    of one ``fit``, or all."""
    sql = f"""
        SELECT sha256, fit, storage_key, mime, bytes, width, height, failure_code, failure_message
        FROM renditions WHERE sha256 IN ({{}}) {"AND fit = ?" if fit else ""}
    """
    rows = tx.among(sql, hashes, *([fit] if fit else []))
    return {(sha256, limits): Rendition(*rest) for sha256, limits, *rest in rows}


def next_place(tx: Transaction, sha256: str) -> int:
    """The place of the next id among those of its content."""
    sql = "SELECT COALESCE(MAX(place), 0) + 1 FROM media WHERE sha256 = ?"
    ((place,),) = tx.rows(sql, sha256)
    return int(place)


# --- claims


def claim_of(tx: Transaction, id: str, owner: str) -> Claim | None:
    """The claim of ``owner`` on ``id``, ended or not."""
    found = tx.rows(f"SELECT {CLAIM} FROM claims k WHERE k.owner = ? AND k.id = ?", owner, id)
    return Claim(*found[0]) if found else None


def owners(tx: Transaction, id: str) -> list[str]:
    """The owners that have a claim."""
    return [owner for (owner,) in tx.rows("SELECT owner FROM claims WHERE id = ? ORDER BY 1", id)]


def add_claim(
    tx: Transaction, id: str, claim: Claim, *, bytes: int, quota: Quota = NO_QUOTA
) -> None:
    """Make the claim's owner an owner of ``id``, whose content has ``bytes``.

    A claim that the owner already has is `joined` with it; else this may raise `QuotaExceeded`.
    """
    row = asdict(claim)
    if tx.insert_new("claims", id=id, file_name=row.pop("name"), **row):
        charge(tx, claim.owner, bytes=bytes, files=1, quota=quota)
    elif known := claim_of(tx, id, claim.owner):
        owner, *columns = astuple(claim.joined(known))
        tx.change(
            "UPDATE claims SET created_at = ?, expires_at = ?, file_name = ?, purpose = ?"
            " WHERE owner = ? AND id = ?",
            *(*columns, owner, id),
        )


def end_claims(
    tx: Transaction, ids: Sequence[str], which: str = "TRUE", *parameters: Any
) -> tuple[int, list[str]]:
    """End the claims ``k`` on ids that meet a condition; an id is removed with its last claim.

    Returns how many have ended, and the states of the removed ids.
    """
    these = f"k.id IN ({{}}) AND {which}"
    tx.among(
        "UPDATE usage SET bytes = usage.bytes - gone.bytes, files = usage.files - gone.files FROM ("
        " SELECT k.owner, COUNT(*) AS files, SUM(COALESCE(c.bytes, 0)) AS bytes"
        f" {MEDIA_TABLES} JOIN claims k ON k.id = m.id WHERE {these}"
        " GROUP BY k.owner) AS gone WHERE gone.owner = usage.owner RETURNING usage.owner",
        *(ids, *parameters),
    )
    tx.change("DELETE FROM usage WHERE files = 0")  # these rows have their own index
    ended = tx.among(f"DELETE FROM claims AS k WHERE {these} RETURNING id", ids, *parameters)
    gone = tx.among(
        "DELETE FROM media WHERE id IN ({}) AND NOT EXISTS"
        " (SELECT 1 FROM claims k WHERE k.id = media.id) RETURNING state",
        ids,
    )
    return len(ended), [state for (state,) in gone]


# --- what an owner keeps


def charge(tx: Transaction, owner: str, *, bytes: int, files: int, quota: Quota = NO_QUOTA) -> None:
    """Add to what ``owner`` keeps. Raises `QuotaExceeded`, which undoes the transaction.

    The row is locked by the change: of two uploads that would both just fit, the second sees the
    first.
    """
    ((all_bytes, all_files),) = tx.rows(
        "INSERT INTO usage (owner, bytes, files) VALUES (?, ?, ?) ON CONFLICT (owner) DO UPDATE"
        " SET bytes = usage.bytes + excluded.bytes, files = usage.files + excluded.files"
        " RETURNING bytes, files",
        *(owner, bytes, files),
    )
    quota.require_room(Usage(all_bytes - bytes, all_files - files), bytes=bytes, files=files)


# --- rows


def media_of(tx: Transaction, id: str) -> Media:
    """An id that exists."""
    (row,) = tx.rows(f"{MEDIA} WHERE m.id = ?", id)
    return to_media(row)


def live_media(tx: Transaction, id: str, *, now: int) -> Media | None:
    """An id, unless its time is over."""
    found = tx.rows(f"{MEDIA} WHERE m.id = ? AND {LIVE}", id, now)
    return to_media(found[0]) if found else None


def to_media(row: Sequence[Any]) -> Media:
    """A row of `COLUMNS`."""
    id, state, *rest = row
    return Media(id, State(state), *rest)
