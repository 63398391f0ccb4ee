"""Direct upload: promise an id, let the client write to the storage, check what it wrote.

The check never trusts the upload key, which the client can write again for as long as its policy
is valid: the object is first copied, in one atomic snapshot, to a fresh key that nobody else
knows, and every later step uses the copy.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from jan_media.catalog.interface import Claim, Claimed, Media, State
from jan_media.errors import ContentTooLarge, Refused
from jan_media.library.ingest import discard, examine, within_quota
from jan_media.library.library import Library, held_until, under_fresh_key, upload_key
from jan_media.library.spool import Spool
from jan_media.media_id import new_media_id
from jan_media.storage.interface import ObjectMissing, PresignedPost

OVERDUE_BATCH = 500


@dataclass(frozen=True, slots=True)
class Prepared:
    """An id that waits for its bytes, and the two ways to send them."""

    media: Media
    post: PresignedPost
    put: str  # a URL; the request has the promised type as its Content-Type
    expires_in: int  # seconds


def prepare(library: Library, mime: str, owner: str) -> Prepared:
    """Promise a new id to a direct upload of type ``mime``.

    Raises `Refused` for a type that is not allowed, a storage without direct uploads, or a full
    file quota; and `CatalogUnavailable`.
    """
    rules, uploads = library.rules, library.storage.uploads
    if uploads is None:
        raise Refused(
            "not_supported", "Direct upload is not available here: send the file to POST /v1/media"
        )
    if not rules.allowed_types.admits(mime):
        raise Refused(
            "unsupported_media_type",
            f"Files of that type are not accepted here. Accepted: {rules.allowed_types}",
        )
    now = library.clock()
    media_id = new_media_id(now)
    key = upload_key(media_id)
    media = within_quota(
        library,
        lambda: library.catalog.create_pending(
            *(media_id, mime, key, Claim(owner, now)),
            # An upload that begins at the last moment needs time, too.
            upload_until=now + rules.upload_ttl * 1000 + rules.hold_ms,
            quota=rules.quota_of(owner),
        ),
    )
    return Prepared(
        media=media,
        post=uploads.presign_post(key, max_bytes=rules.max_bytes, ttl=rules.upload_ttl),
        put=uploads.presign_put(key, mime=mime, ttl=rules.upload_ttl),
        expires_in=rules.upload_ttl,
    )


def complete(library: Library, media: Media) -> Claimed | None:
    """Check a pending id's upload, if there is one, and make the id ready or rejected.

    Returns the id as it is then: ready, rejected, or still pending if nothing was uploaded; None if
    it was deleted meanwhile, or its time is over without an upload. ``deduped`` is whether its
    bytes were found under another id. Raises `StorageUnavailable` and `CatalogUnavailable`.
    """
    if media.state is not State.PENDING:
        return Claimed(media, deduped=False)

    size = library.storage.size(media.storage_key)
    if size is None:
        return _as_it_is_now(library, media)
    if size > library.rules.max_bytes:  # too large to copy
        return _reject(library, media, ContentTooLarge(library.rules.max_bytes))

    def write(key: str) -> Claimed | None:
        try:
            library.storage.copy(media.storage_key, key, mime=media.mime)
        except ObjectMissing:  # another call was faster
            return _as_it_is_now(library, media)
        try:
            settled = _settle(library, media, key)
        except Refused as refusal:
            discard(library, key)
            return _reject(library, media, refusal)
        deduped = settled is None or settled.storage_key != key
        if deduped:
            discard(library, key)
        if settled is None:
            return None
        if settled.state is State.READY:
            discard(library, media.storage_key)
        return Claimed(settled, deduped)

    return under_fresh_key(library, write)


def overdue(library: Library, *, now: int, ahead_ms: int = 0) -> Iterator[Media]:
    """Pending ids that expire by ``ahead_ms`` after ``now`` and can no longer be uploaded.

    An upload that arrived in time is kept, used or not, so complete these ids before they are
    removed. Raises `CatalogUnavailable`.
    """
    after = ""
    while batch := library.catalog.overdue_uploads(
        now=now + ahead_ms, limit=OVERDUE_BATCH, after=after
    ):
        yield from (media for media in batch if _upload_is_over(library, media, now))
        after = batch[-1].id


def _as_it_is_now(library: Library, media: Media) -> Claimed | None:
    """An id without an upload: another call has just completed it, or there never was an upload."""
    now = library.clock()
    found = library.catalog.get_many([media.id], now=now).get(media.id)
    if found is not None and found.state is State.PENDING and _upload_is_over(library, found, now):
        return None
    return None if found is None else Claimed(found, deduped=False)


def _upload_is_over(library: Library, media: Media, now: int) -> bool:
    """Whether a pending id's URLs and policy have expired."""
    return held_until(media.storage_key, library.rules.upload_ttl) <= now


def _settle(library: Library, media: Media, key: str) -> Media | None:
    """Make the id ready with the bytes under ``key``. Raises `Refused` if they are not accepted."""
    with Spool(library.spool_dir, max_bytes=library.rules.max_bytes) as spool:
        spool.fill(library.storage.read(key))
        content = examine(library, spool, library.rules.allowed_types)
    now = library.clock()
    return library.catalog.complete_pending(
        *(media.id, content, key),
        now=now,
        expires_at=library.rules.kept_until(now),
        quota_of=library.rules.quota_of,
    )


def _reject(library: Library, media: Media, refusal: Refused) -> Claimed | None:
    """Remove what was uploaded. The id keeps the reason until its time is over."""
    settled = library.catalog.reject_pending(
        media.id, refusal.code, refusal.message, now=library.clock()
    )
    discard(library, media.storage_key)
    return None if settled is None else Claimed(settled, deduped=False)
