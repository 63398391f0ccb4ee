"""The end of life: expired ids go, then bytes that nothing refers to.

A sweep never lists the storage. The catalog knows every key that may be deleted, because a key is
written down as garbage before its first byte is.
"""

from dataclasses import dataclass

from jan_media.catalog.interface import Expired
from jan_media.library.keys import held_until
from jan_media.library.library import Library

BATCH = 500
LEASE = "sweep"
LEASE_MS = 5 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did, or would do."""

    media: int = 0  # ids whose retention was over
    uploads: int = 0  # direct uploads that were never used, or were refused
    contents: int = 0  # stored contents that nothing refers to any more
    objects: int = 0  # objects deleted from the storage, some of which may have been gone already

    def __str__(self) -> str:
        return (
            f"expired_media={self.media} stale_uploads={self.uploads} "
            f"unreferenced_contents={self.contents} deleted_objects={self.objects}"
        )


def sweep(library: Library, holder: str, *, ahead_ms: int = 0) -> Swept | None:
    """Remove all that is due. None if another holder is sweeping right now.

    With ``ahead_ms`` also the keys that become due within that time: what a crash has left, when
    no upload is running. A running one would have to write its bytes again. Raises
    `CatalogUnavailable` and `StorageUnavailable`; what was done by then stays done, and the next
    sweep does the rest.
    """
    total = Expired(media=0, uploads=0, contents=0)
    while _lease(library, holder):
        expired = library.catalog.expire(now=library.clock(), limit=BATCH)
        total = Expired(
            media=total.media + expired.media,
            uploads=total.uploads + expired.uploads,
            contents=total.contents + expired.contents,
        )
        if not (expired.media or expired.uploads or expired.contents):
            break
    else:
        return None
    objects = _reclaim_all(library, holder, ahead_ms)
    now = library.clock()
    library.catalog.lease(LEASE, holder, now=now, until=now)
    return Swept(total.media, total.uploads, total.contents, objects)


def rehearse(library: Library, *, ahead_ms: int = 0) -> Swept:
    """What `sweep` would do now, changing nothing."""
    now = library.clock()
    expired = library.catalog.count_expired(now=now)
    garbage = library.catalog.count_garbage(now=now + ahead_ms)
    return Swept(expired.media, expired.uploads, expired.contents, garbage + expired.contents)


def reclaim(library: Library, *, limit: int) -> int:
    """Delete up to ``limit`` objects whose keys are garbage and due; returns how many."""
    keys = library.catalog.take_garbage(now=library.clock(), limit=limit)
    _delete(library, keys)
    return len(keys)


def _reclaim_all(library: Library, holder: str, ahead_ms: int) -> int:
    """Delete every object whose key is due by ``ahead_ms`` from now, but no upload key whose
    policy is still valid: it may hold an upload that waits for its first use."""
    now = library.clock()
    seen: set[str] = set()
    deleted = 0
    while _lease(library, holder):
        keys = library.catalog.take_garbage(now=now + ahead_ms, limit=BATCH)
        fresh = [key for key in keys if key not in seen]
        if not fresh:
            break
        seen.update(fresh)
        over = [key for key in fresh if held_until(key, library.rules.upload_ttl) <= now]
        _delete(library, over)
        deleted += len(over)
    return deleted


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
