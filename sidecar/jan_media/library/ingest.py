"""Taking bytes in: look at them, give them their id, and store them unless they are known.

The order keeps bytes and rows in step whatever crashes: the key is held as garbage first, then
the bytes are written, then the commit takes the key out of garbage.
"""

import contextlib
from collections.abc import Callable
from typing import TypeVar

from jan_media.catalog.interface import (
    NO_DETAILS,
    Claimed,
    Content,
    FileDetails,
    QuotaExceeded,
)
from jan_media.content.allowed_types import AllowedTypes
from jan_media.content.sniff import sniff
from jan_media.library.library import Library, under_fresh_key
from jan_media.library.owners import over_quota, require_owner
from jan_media.library.spool import Spool
from jan_media.media_id import new_media_id
from jan_media.storage.interface import StorageUnavailable

T = TypeVar("T")

SWEPT_FOR_ROOM = 100  # expired ids


def store(
    library: Library,
    spool: Spool,
    owner: str,
    details: FileDetails = NO_DETAILS,
    *,
    allowed: AllowedTypes | None = None,
) -> Claimed:
    """Give the spooled bytes their id: the one they have already, or a new one.

    ``allowed`` are the types that are let in, those of the rules if it is None. Raises `Refused`
    for bytes that are not allowed media, for an owner that cannot be, and for more than the owner
    may keep. Raises `StorageUnavailable` and `CatalogUnavailable` when those are away; nothing is
    stored then, or a sweep removes it.
    """
    require_owner(owner)
    content = examine(library, spool, allowed or library.rules.allowed_types)
    return within_quota(library, lambda: _store(library, spool, content, owner, details))


def within_quota(library: Library, keep: Callable[[], T]) -> T:
    """Call ``keep``, which adds to what an owner keeps. Raises `Refused` if it is over the quota.

    Expired media count until they are swept, so some are swept before the refusal.
    """
    try:
        return keep()
    except QuotaExceeded as exceeded:
        if not library.catalog.expire(now=library.clock(), limit=SWEPT_FOR_ROOM):
            raise over_quota(exceeded) from None
    try:
        return keep()
    except QuotaExceeded as exceeded:
        raise over_quota(exceeded) from None


def _store(
    library: Library, spool: Spool, content: Content, owner: str, details: FileDetails
) -> Claimed:
    quota = library.rules.quota_of(owner)

    def attempt(key: str) -> Claimed:
        now = library.clock()
        known = library.catalog.claim_or_intend(
            *(content, owner, key),
            now=now,
            expires_at=library.rules.kept_until(now, details.lifetime),
            due_at=now + library.rules.hold_ms,
            quota=quota,
            details=details,
        )
        if known is not None:
            return known
        library.storage.put(key, spool.from_start(), size=content.bytes, mime=content.mime)
        now = library.clock()
        try:
            claimed = library.catalog.commit_upload(
                *(new_media_id(now), content, key, owner),
                now=now,
                expires_at=library.rules.kept_until(now, details.lifetime),
                quota=quota,
                details=details,
            )
        except QuotaExceeded:  # others of this owner were faster
            discard(library, key)
            raise
        if claimed.media.storage_key != key:
            discard(library, key)
        return claimed

    return under_fresh_key(attempt)


def examine(library: Library, spool: Spool, allowed: AllowedTypes) -> Content:
    """Say what the spooled bytes are. Raises `Refused` unless they are allowed media."""
    mime = sniff(
        spool.from_start(), spool.size, allowed=allowed, max_pixels=library.rules.max_pixels
    )
    return Content(sha256=spool.sha256, mime=mime, bytes=spool.size)


def discard(library: Library, key: str) -> None:
    """Delete an object that turned out not to be needed, without waiting for the next sweep.

    Its key is garbage in the catalog already: if this fails, the sweep deletes it.
    """
    with contextlib.suppress(StorageUnavailable):
        library.storage.delete([key])
