"""Moving a library to another catalog and storage: every live id, its owners and its bytes.

The target may be running and the source too. Bytes arrive as an upload's do: a fresh key is
intended, the bytes are written and read back, and only then the id is there. So a move that is
killed leaves ids that have their bytes, and garbage that a sweep removes; run again, it does what
is left, and also what has changed in the source since.

A pending upload goes along with what has been uploaded for it. Its form leads to the old storage,
though: what is sent there after the move does not arrive.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Protocol

from jan_media.catalog.catalog import Catalog
from jan_media.catalog.interface import ApiKey, IntentLapsed, Rendition, State
from jan_media.catalog.transfer import Record
from jan_media.errors import ContentTooLarge
from jan_media.library.library import Library, fresh_content_key, under_fresh_key
from jan_media.library.spool import Spool
from jan_media.storage.interface import ObjectMissing, Storage, StorageUnavailable

BATCH = 500


class Readable(Protocol):
    """What a move reads of its source: `Transfer`'s and `ApiKeys`' own."""

    def ids_after(self, id: str, *, now: int, limit: int) -> list[str]: ...
    def records(self, ids: Sequence[str], *, now: int) -> dict[str, Record]: ...
    def renditions_of(self, hashes: Sequence[str]) -> list[tuple[str, str, Rendition]]: ...
    def list_api_keys(self) -> list[ApiKey]: ...


@dataclass(frozen=True)
class Source:
    """Where a move comes from."""

    catalog: Readable
    storage: Storage


@dataclass(slots=True)
class Moved:
    """What a move has done so far."""

    ids: int = 0  # looked at
    new: int = 0  # ids that the target did not have, or not with all their owners and time
    objects: int = 0  # bytes copied, each checked by its hash on arrival
    bytes: int = 0
    removed: int = 0  # claims that the source no longer has
    damaged: list[str] = field(default_factory=list)  # ids whose bytes are not what they were
    lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def numbers(self) -> dict[str, int]:
        """The numbers by their names, as the command gives them."""
        return {
            "ids": self.ids,
            "new_or_changed": self.new,
            "copied_objects": self.objects,
            "copied_bytes": self.bytes,
            "removed_claims": self.removed,
            "damaged": len(self.damaged),
        }

    def __str__(self) -> str:
        return " ".join(f"{name}={number}" for name, number in self.numbers.items())


class _Damaged(Exception):
    """The source's bytes are missing or are not those of the content."""


def move(source: Source, target: Library, moved: Moved, *, jobs: int, delete: bool) -> None:
    """Bring to the target what the source has and the target lacks; API keys too.

    ``moved`` is kept up to date. ``jobs`` is how many objects are copied at once. With ``delete``,
    claims that the source does not have are given up in the target. Raises `CatalogUnavailable` and
    `StorageUnavailable`; run again, it goes on.
    """
    one, clock = _Move(source, target, moved), target.clock
    _move_api_keys(source.catalog, target.catalog, now=clock())
    with ThreadPoolExecutor(jobs, thread_name_prefix="move") as threads:
        for ids in batches(source.catalog, clock):
            theirs = source.catalog.records(ids, now=clock())
            hashes = {record.media.sha256 for record in theirs.values() if record.media.sha256}
            renditions = source.catalog.renditions_of(list(hashes))
            ours = target.catalog.records(ids, now=clock())
            started = [
                threads.submit(one.bring, record, ours.get(record.media.id))
                for record in theirs.values()
            ]
            try:
                for each in started:
                    each.result()
            except BaseException:
                for each in started:
                    each.cancel()
                raise
            list(threads.map(lambda each: one.bring_rendition(*each), renditions))
    if delete:
        _delete_departed(source.catalog, target, moved)


@dataclass(frozen=True, slots=True)
class _Move:
    source: Source
    target: Library
    moved: Moved

    def bring(self, record: Record, ours: Record | None) -> None:
        """Make the target hold one id."""
        new = ours is None or not ours.covers(record)
        try:
            if record.media.state is not State.READY:
                copied = self._bring_unready(record, ours)
            else:
                copied = self._bring_ready(record) if new else None
        except _Damaged:
            with self.moved.lock:
                self.moved.ids += 1
                self.moved.damaged.append(record.media.id)
            return
        with self.moved.lock:
            self.moved.ids += 1
            self.moved.new += new
            self.moved.objects += copied is not None
            self.moved.bytes += copied or 0

    def bring_rendition(self, sha256: str, fit: str, rendition: Rendition) -> None:
        """Make the target hold a rendition, if it has its original. One that cannot be brought is
        made anew there when it is asked for."""
        if any(known == fit for _, known, _ in self.target.catalog.renditions_of([sha256])):
            return
        key = ""
        if rendition.storage_key:
            with Spool(self.target.spool_dir, max_bytes=max(1, rendition.bytes)) as spool:
                try:
                    spool.fill(self.source.storage.read(rendition.storage_key))
                except (ObjectMissing, ContentTooLarge):
                    return
                if spool.size != rendition.bytes:
                    return
                key = fresh_content_key()
                self._intend(key)
                self._put(spool, key, rendition.mime)
            with self.moved.lock:
                self.moved.objects += 1
                self.moved.bytes += rendition.bytes
        with contextlib.suppress(IntentLapsed):
            self.target.catalog.keep_rendition(
                sha256, fit, replace(rendition, storage_key=key), now=self.target.clock()
            )

    def _bring_ready(self, record: Record) -> int | None:
        """Returns how many bytes were copied for it; None if the target had them."""
        take_in = self.target.catalog.take_in_ready
        if take_in(record, storage_key=None, now=self.target.clock()):
            return None

        def attempt(key: str) -> int | None:
            self._intend(key)
            copied = self._copy(record, key)
            if copied is not None:
                take_in(record, storage_key=key, now=self.target.clock())
            return copied

        return under_fresh_key(attempt)

    def _bring_unready(self, record: Record, ours: Record | None) -> int | None:
        """Also what has been uploaded for it, under the upload's own key."""
        media = record.media
        if ours is not None and ours.media.state is State.READY:
            return None
        self.target.catalog.take_in_unready(
            record, key_due_at=media.expires_at + self.target.rules.hold_ms
        )
        size = self.source.storage.size(media.storage_key)
        if media.state is State.REJECTED or size is None:
            return None
        if self.target.storage.size(media.storage_key) == size:
            return None
        return self._copy(record, media.storage_key)

    def _copy(self, record: Record, target_key: str) -> int | None:
        """Copy the record's bytes; how many. None if the source has given the id up meanwhile.

        They pass through a spool, are hashed on the way and again as the target gives them back.
        """
        media = record.media
        with Spool(self.target.spool_dir, max_bytes=media.bytes or 2**63) as spool:
            try:
                spool.fill(self.source.storage.read(media.storage_key))
            except ObjectMissing:
                if not still_there(self.source.catalog, record, now=self.target.clock()):
                    return None
                raise _Damaged from None
            except ContentTooLarge:
                raise _Damaged from None
            if media.sha256 and media.sha256 != spool.sha256:
                raise _Damaged
            self._put(spool, target_key, media.mime)
            return spool.size

    def _intend(self, key: str) -> None:
        self.target.catalog.intend(key, due_at=self.target.clock() + self.target.rules.hold_ms)

    def _put(self, spool: Spool, key: str, mime: str) -> None:
        self.target.storage.put(key, spool.from_start(), size=spool.size, mime=mime)
        if hash_of(self.target.storage, key) != spool.sha256:
            raise StorageUnavailable("what the new storage gives back is not what was written")


def hash_of(storage: Storage, key: str) -> str:
    """The SHA-256 of an object. Raises `ObjectMissing` and `StorageUnavailable`."""
    digest = hashlib.sha256()
    with storage.read(key) as pieces:
        for piece in pieces:
            digest.update(piece)
    return digest.hexdigest()


def still_there(catalog: Readable, record: Record, *, now: int) -> bool:
    """Whether the id was not deleted while its bytes were looked for."""
    found = catalog.records([record.media.id], now=now).get(record.media.id)
    return found is not None and found.media.storage_key == record.media.storage_key


def batches(catalog: Readable, clock: Callable[[], int]) -> Iterator[list[str]]:
    """All live ids, in order, some at a time."""
    last = ""
    while ids := catalog.ids_after(last, now=clock(), limit=BATCH):
        yield ids
        last = ids[-1]


def _move_api_keys(source: Readable, target: Catalog, *, now: int) -> None:
    """Keys are found by their hash, so they go on working; one that was revoked stays so."""
    there = {key.id: key for key in target.list_api_keys()}
    for key in source.list_api_keys():
        ours = there.get(key.id)
        if ours is None:
            target.add_api_key(key)
        elif key.revoked_at is not None and ours.revoked_at is None:
            target.revoke_api_key(key.id, now=now)


def _delete_departed(source: Readable, target: Library, moved: Moved) -> None:
    """Give up, in the target, the claims that the source does not have."""
    for ids in batches(target.catalog, target.clock):
        theirs = source.records(ids, now=target.clock())
        for id, record in target.catalog.records(ids, now=target.clock()).items():
            known = set(theirs[id].owners) if id in theirs else set()
            for owner in record.owners:
                if owner not in known:
                    target.catalog.release(id, owner, now=target.clock())
                    moved.removed += 1
