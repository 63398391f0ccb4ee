"""Takes in bytes: checks them, gives them their id, and stores them unless they are known.

The order keeps bytes and rows consistent through any crash: first the key is held as garbage, then
the bytes are written, then the commit takes the key out of garbage.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from jan_media.catalog.interface import NO_QUOTA, Claim, Claimed, Content, QuotaExceeded
from jan_media.content.allowed_types import AllowedTypes
from jan_media.content.sniff import sniff
from jan_media.library.library import Library, under_fresh_key
from jan_media.library.spool import Spool
from jan_media.media_id import new_media_id
from jan_media.storage.interface import StorageUnavailable

T = TypeVar("T")

SWEPT_FOR_ROOM = 100  # expired ids


@dataclass(frozen=True, slots=True)
class FileDetails:
    """What an owner says about a file when uploading it."""

    name: str = ""  # "" if none was given: an earlier name stays
    purpose: str = ""  # likewise
    lifetime: int | None = None  # ms: the claim ends after this time; None: with the media


NO_DETAILS = FileDetails()


def store(
    library: Library,
    spool: Spool,
    owner: str,
    details: FileDetails = NO_DETAILS,
    *,
    allowed: AllowedTypes | None = None,
) -> Claimed:
    """Give the spooled bytes their id: the one they have already, or a new one.

    ``allowed`` are the accepted types, by default those of the rules. Raises `Refused`
    for bytes that are not allowed media, and for more than the owner may keep. Raises
    `StorageUnavailable` and `CatalogUnavailable` when those are away; nothing is stored then, or a
    sweep removes it.
    """
    content = examine(library, spool, allowed or library.rules.allowed_types)
    return within_quota(library, lambda: _store(library, spool, content, owner, details))


def within_quota(library: Library, keep: Callable[[], T]) -> T:
    """Call ``keep``, which adds to what an owner keeps. Raises `QuotaExceeded`.

    Expired media count until they are swept, so some are swept before the refusal.
    """
    try:
        return keep()
    except QuotaExceeded:
        if not library.catalog.expire(now=library.clock(), limit=SWEPT_FOR_ROOM):
            raise
    return keep()


def _store(
    library: Library, spool: Spool, content: Content, owner: str, details: FileDetails
) -> Claimed:
    quota = library.rules.quota_of(owner)

    def claim_now() -> tuple[Claim, int]:
        now = library.clock()
        end = library.rules.kept_until(now, details.lifetime)
        own_end = None if details.lifetime is None else end
        return Claim(owner, now, own_end, details.name, details.purpose), end

    claim, end = claim_now()
    known = library.catalog.claim_known(content, claim, expires_at=end, quota=quota)
    if known is not None:
        return known
    if quota != NO_QUOTA:  # the commit checks again, but only after the bytes are written
        quota.require_room(library.catalog.usage(owner), bytes=content.bytes, files=1)

    def write(key: str) -> Claimed:
        library.storage.put(key, spool.from_start(), mime=content.mime)
        claim, end = claim_now()
        new_id = new_media_id(claim.created_at)
        try:
            claimed = library.catalog.commit_upload(
                new_id, content, key, claim, expires_at=end, quota=quota
            )
        except QuotaExceeded:  # other uploads of this owner were faster
            discard(library, key)
            raise
        if claimed.media.storage_key != key:
            discard(library, key)
        return claimed

    return under_fresh_key(library, write)


def examine(library: Library, spool: Spool, allowed: AllowedTypes) -> Content:
    """Determine what the spooled bytes are. Raises `Refused` unless they are allowed media."""
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
