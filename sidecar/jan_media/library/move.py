"""Moves a library to another catalog and storage: every live id, its owners and its bytes.

Source and target may be running. Bytes arrive as in an upload: a fresh key is intended, the bytes
are written and read back, and only then is the id added. So a move that is killed leaves ids that
have their bytes, and garbage that a sweep removes. Run again, it does the rest, and also what has
changed in the source since.

A pending upload is moved with the bytes that were uploaded for it. But its form leads to the old
storage: what is sent there after the move does not arrive.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from jan_media.catalog.catalog import Catalog
from jan_media.catalog.interface import ApiKey, Rendition, State
from jan_media.catalog.transfer import Record
from jan_media.errors import ContentTooLarge
from jan_media.library.library import Counts, Library, under_fresh_key
from jan_media.library.spool import Spool
from jan_media.storage.interface import ObjectMissing, Storage, StorageUnavailable

BATCH = 500


class Readable(Protocol):
    """What a move reads of its source: the catalog's own.

    A class that derives from it has no renditions and no API keys unless it overrides these.
    """

    def ids_after(self, id: str, *, now: int, limit: int) -> list[str]: ...
    def records(self, ids: Sequence[str], *, now: int) -> dict[str, Record]: ...

    def renditions(self, hashes: Sequence[str]) -> dict[tuple[str, str], Rendition]:
        return {}

    def list_api_keys(self) -> list[ApiKey]:
        return []


@dataclass
class Moved(Counts):
    """What a move has done so far."""

    ids: int = 0  # looked at
    new_or_changed: int = 0  # that the target lacked, or had without some owner or time
    copied_objects: int = 0  # each checked by its hash on arrival
    copied_bytes: int = 0
    removed_claims: int = 0  # that the source no longer has
    damaged: list[str] = field(default_factory=list)  # ids whose bytes are missing or wrong

    def add(self, more: Self) -> None:
        """Count what was done besides."""
        for name, value in vars(more).items():
            setattr(self, name, getattr(self, name) + value)


class _Damaged(Exception):
    """The source's bytes are missing or are not those of the content."""


def move(
    source: Readable, storage: Storage, target: Library, moved: Moved, *, jobs: int, delete: bool
) -> None:
    """Bring to the target what the source and its storage have and the target lacks; API keys too.

    ``jobs`` is how many objects are copied at once. With ``delete``, claims that the source does
    not have are given up in the target. ``moved`` is kept up to date meanwhile. Raises
    `CatalogUnavailable` and `StorageUnavailable`; run again, it goes on.
    """
    one, clock = _Move(source, storage, target), target.clock
    _move_api_keys(source, target.catalog, now=clock())
    with ThreadPoolExecutor(jobs, thread_name_prefix="move") as threads:
        for ids in batches(source, clock):
            theirs = source.records(ids, now=clock())
            hashes = {record.media.sha256 for record in theirs.values() if record.media.sha256}
            renditions = source.renditions(list(hashes))
            ours = target.catalog.records(ids, now=clock())
            for done in threads.map(one.bring, theirs.values(), map(ours.get, theirs)):
                moved.add(done)
            for done in threads.map(one.bring_rendition, renditions, renditions.values()):
                moved.add(done)
    if delete:
        _delete_departed(source, target.catalog, clock, moved)


@dataclass(frozen=True, slots=True)
class _Move:
    source: Readable
    storage: Storage
    target: Library

    def bring(self, record: Record, ours: Record | None) -> Moved:
        """Make the target hold one id."""
        new = ours is None or not ours.covers(record)
        copied = Moved()
        try:
            if record.media.state is not State.READY:
                copied = self._bring_unready(record, ours)
            elif new:
                copied = self._bring_ready(record)
        except _Damaged:
            if still_there(self.source, record, now=self.target.clock()):
                return Moved(ids=1, damaged=[record.media.id])
        return replace(copied, ids=1, new_or_changed=int(new))

    def bring_rendition(self, of: tuple[str, str], rendition: Rendition) -> Moved:
        """Make the target hold a rendition, if it has its original. One whose bytes are damaged
        is made anew there when it is asked for."""
        (sha256, fit), catalog, from_key = of, self.target.catalog, rendition.storage_key
        if of in catalog.renditions([sha256]):
            return Moved()

        def write(key: str) -> Moved:
            copied = Moved()
            if key:
                copied = self._copy(from_key, key, rendition.mime, size=rendition.bytes)
            brought = replace(rendition, storage_key=key)
            catalog.keep_rendition(sha256, fit, brought, now=self.target.clock())
            return copied

        try:
            return under_fresh_key(self.target, write) if from_key else write("")
        except _Damaged:
            return Moved()

    def _bring_ready(self, record: Record) -> Moved:
        """Make the target hold a ready id, and its bytes."""
        media, take_in, now = record.media, self.target.catalog.take_in_ready, self.target.clock
        if take_in(record, storage_key=None, now=now()):
            return Moved()

        def write(key: str) -> Moved:
            copied = self._copy(
                media.storage_key, key, media.mime, size=media.bytes, sha256=media.sha256
            )
            take_in(record, storage_key=key, now=now())
            return copied

        return under_fresh_key(self.target, write)

    def _bring_unready(self, record: Record, ours: Record | None) -> Moved:
        """Make the target hold an id, and what was uploaded for it, under the same key."""
        media, hold_ms = record.media, self.target.rules.hold_ms
        if ours is not None and ours.media.state is State.READY:
            return Moved()
        self.target.catalog.take_in_unready(record, key_due_at=media.expires_at + hold_ms)
        size = self.storage.size(media.storage_key)
        if media.state is State.REJECTED or size is None:
            return Moved()
        if self.target.storage.size(media.storage_key) == size:
            return Moved()
        return self._copy(media.storage_key, media.storage_key, media.mime)

    def _copy(
        self, key: str, target_key: str, mime: str, *, size: int = 0, sha256: str = ""
    ) -> Moved:
        """Copy bytes, and check their size and hash if those are known.

        They pass through a spool, are hashed on the way and again as the target gives them back.
        """
        with Spool(self.target.spool_dir, max_bytes=size or 2**63) as spool:
            try:
                spool.fill(self.storage.read(key))
            except (ObjectMissing, ContentTooLarge):
                raise _Damaged from None
            if (spool.size, spool.sha256) != (size or spool.size, sha256 or spool.sha256):
                raise _Damaged
            self.target.storage.put(target_key, spool.from_start(), mime=mime)
            if hash_of(self.target.storage, target_key) != spool.sha256:
                raise StorageUnavailable("what the new storage gives back is not what was written")
            return Moved(copied_objects=1, copied_bytes=spool.size)


def hash_of(storage: Storage, key: str) -> str:
    """The SHA-256 of an object. Raises `ObjectMissing` and `StorageUnavailable`."""
    digest = hashlib.sha256()
    with storage.read(key) as pieces:
        for piece in pieces:
            digest.update(piece)
    return digest.hexdigest()


def still_there(catalog: Readable, record: Record, *, now: int) -> bool:
    """Whether the id was not deleted while its bytes were being read."""
    found = catalog.records([record.media.id], now=now).get(record.media.id)
    return found is not None and found.media.storage_key == record.media.storage_key


def batches(catalog: Readable, clock: Callable[[], int]) -> Iterator[list[str]]:
    """All live ids, in order, in batches."""
    last = ""
    while ids := catalog.ids_after(last, now=clock(), limit=BATCH):
        yield ids
        last = ids[-1]


def _move_api_keys(source: Readable, target: Catalog, *, now: int) -> None:
    """Copy keys. They are found by their hash, so they stay valid; a revoked one stays revoked."""
    there = {key.id: key for key in target.list_api_keys()}
    for key in source.list_api_keys():
        ours = there.get(key.id)
        if ours is None:
            target.add_api_key(key)
        elif key.revoked_at is not None and ours.revoked_at is None:
            target.revoke_api_key(key.id, now=now)


def _delete_departed(
    source: Readable, target: Catalog, clock: Callable[[], int], moved: Moved
) -> None:
    """Give up, in the target, the claims that the source does not have."""
    for ids in batches(target, clock):
        theirs = source.records(ids, now=clock())
        for id, record in target.records(ids, now=clock()).items():
            known = set(theirs[id].owners) if id in theirs else set()
            for owner in record.owners:
                if owner not in known:
                    target.release(id, owner, now=clock())
                    moved.removed_claims += 1
