"""The end of life: ids that owners give up or that expire, then bytes that nothing refers to.

A sweep never lists the storage. The catalog knows every key that may be deleted, because a key is
written down as garbage before its first byte is.

Before a sweep removes expired direct uploads, it checks whether their bytes have arrived: a client
whose upload was accepted keeps it, whether it has used it yet or not.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from jan_media.catalog.interface import CatalogUnavailable, Released
from jan_media.errors import Refused
from jan_media.library.direct_upload import complete, overdue
from jan_media.library.library import Counts, Library, held_until, is_upload_key
from jan_media.library.resolve import not_found
from jan_media.storage.interface import StorageUnavailable

BATCH = 500
# Deleting a content makes one key due. Taking more at once lets deletions catch up.
_RECLAIMED_AT_ONCE = 16
LEASE = "sweep"
# The lease is renewed at every step: one transaction, the check of one upload, one deletion. If a
# sidecar is killed while it sweeps, the others wait until its lease ends. A step that takes longer
# lets a second sweep begin, which does no harm.
LEASE_MS = 15 * 1000
_TURN = 0.5  # seconds between two attempts to get the lease


@dataclass
class Swept(Counts):
    """The work that a sweep has done so far, or would do."""

    expired_media: int = 0  # ids whose retention was over
    stale_uploads: int = 0  # direct uploads that were never used, or were refused
    unreferenced_contents: int = 0
    deleted_objects: int = 0  # from the storage; some may have been gone already
    ended_claims: int = 0  # before their media did

    @property
    def steps(self) -> int:
        """How much there was to do, for a progress bar."""
        return self.expired_media + self.stale_uploads + self.deleted_objects


def sweep(
    library: Library, holder: str, *, ahead_ms: int = 0, swept: Swept | None = None
) -> Swept | None:
    """Remove all that is due. Returns None if another holder is sweeping now, or took over.

    With ``ahead_ms`` also the keys that become due within that time: what a crash has left, when
    no upload is running. A running one would have to write its bytes again. ``swept`` is kept up
    to date meanwhile. Raises `CatalogUnavailable` and `StorageUnavailable`; what was done by then
    stays done, and the next sweep does the rest.
    """
    swept = swept or Swept()
    if not _lease(library, holder):
        return None
    try:
        for _ in _steps(library, ahead_ms, swept):
            if not _lease(library, holder):
                return None
    finally:
        now = library.clock()
        with contextlib.suppress(CatalogUnavailable):
            library.catalog.lease(LEASE, holder, now=now, until=now)  # ends it, if it is ours
    return swept


def _steps(library: Library, ahead_ms: int, swept: Swept) -> Iterator[None]:
    """Do one step of the sweep for each ``next``."""
    now = library.clock()
    for media in overdue(library, now=now, ahead_ms=ahead_ms):
        complete(library, media)
        yield
    while expired := library.catalog.expire(now=now, limit=BATCH):
        swept.expired_media += expired.media
        swept.stale_uploads += expired.uploads
        swept.unreferenced_contents += expired.contents
        swept.ended_claims += expired.claims
        yield
    seen: set[str] = set()
    while True:
        keys = set(library.catalog.take_garbage(now=now + ahead_ms, limit=BATCH)) - seen
        if not keys:
            return
        seen |= keys
        # While its policy is valid, an upload key may have an upload that was not used yet.
        over = [key for key in keys if held_until(key, library.rules.upload_ttl) <= now]
        _delete(library, over)
        swept.deleted_objects += len(over)
        yield


def sweep_in_turn(library: Library, holder: str, *, ahead_ms: int, swept: Swept) -> bool:
    """As `sweep`, but wait for another holder to finish; False if that takes more than a lease."""
    give_up_at = time.monotonic() + LEASE_MS / 1000 + _TURN
    while sweep(library, holder, ahead_ms=ahead_ms, swept=swept) is None:
        if time.monotonic() > give_up_at:
            return False
        time.sleep(_TURN)
    return True


def rehearse(library: Library, *, ahead_ms: int = 0) -> Swept:
    """What `sweep` would do now, without changing anything. Raises like `sweep`."""
    now = library.clock()
    used_late = sum(
        library.storage.size(media.storage_key) is not None for media in overdue(library, now=now)
    )
    expired = library.catalog.count_expired(now=now)
    garbage = library.catalog.count_garbage(now=now + ahead_ms)
    return Swept(
        expired.media,
        expired.uploads - used_late,
        expired.contents,
        garbage + expired.contents,
        expired.claims,
    )


def give_up(library: Library, media_id: str, owner: str) -> None:
    """Give up ``owner``'s claim on an id. With the last claim, the id and its bytes are deleted.

    Raises `Refused` (``media_not_found``, ``not_owner``) and `CatalogUnavailable`. If the bytes
    cannot be deleted now, they are garbage already, and a sweep deletes them.
    """
    released = library.catalog.release(media_id, owner, now=library.clock())
    if released is Released.NOT_FOUND:
        raise not_found()
    if released is Released.NOT_OWNER:
        raise Refused("not_owner", "Only those who uploaded this media can delete it")
    if released is Released.GONE:
        with contextlib.suppress(CatalogUnavailable, StorageUnavailable):
            keys = library.catalog.take_garbage(now=library.clock(), limit=_RECLAIMED_AT_ONCE)
            # Leave uploads to a sweep, which first checks whether they may still be used.
            _delete(library, [key for key in keys if not is_upload_key(key)])


def _delete(library: Library, keys: list[str]) -> None:
    """Delete objects whose keys were taken, and forget them.

    A taken key can no longer become a content, so its bytes can go; it is forgotten only after
    they went, so a crash between the two loses nothing.
    """
    if keys:
        library.storage.delete(keys)
        library.catalog.forget_garbage(keys)


def _lease(library: Library, holder: str) -> bool:
    now = library.clock()
    return library.catalog.lease(LEASE, holder, now=now, until=now + LEASE_MS)
