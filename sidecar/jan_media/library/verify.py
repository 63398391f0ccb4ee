"""Checks whether every ready id has its bytes: after a restore, or after a disk failure.

An id without bytes is worse than none: a new upload of the same content would be answered with that
id. So lost ids can be given up; then their content can be uploaded again.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from jan_media.catalog.interface import Media, State
from jan_media.library.library import Library
from jan_media.library.move import batches, hash_of, still_there
from jan_media.storage.interface import ObjectMissing

JOBS = 8  # objects that are checked at once


@dataclass
class Verified:
    """What has been checked so far, and what was lost."""

    ids: int = 0
    bytes: int = 0  # of these ids
    lost: list[str] = field(default_factory=list)  # ids
    lost_renditions: int = 0


def lost_ids(
    library: Library, verified: Verified, *, by_hash: bool, give_up: bool
) -> Iterator[str]:
    """Each ready id whose bytes are missing, or of the wrong number; renditions are checked,
    too.

    ``by_hash`` also reads all bytes of ids, and compares their hashes. ``give_up`` removes all
    claims on such ids, and so the ids, and drops such renditions. ``verified`` is kept up to date
    meanwhile. Raises `CatalogUnavailable` and `StorageUnavailable`.
    """
    catalog, clock = library.catalog, library.clock
    is_whole = partial(_is_whole, library, by_hash=by_hash)
    with ThreadPoolExecutor(JOBS, thread_name_prefix="verify") as threads:
        for ids in batches(catalog, clock):
            records = catalog.records(ids, now=clock()).values()
            ready = [record for record in records if record.media.state is State.READY]
            media = [record.media for record in ready]
            for record, whole in zip(ready, threads.map(is_whole, media), strict=True):
                verified.ids += 1
                verified.bytes += record.media.bytes
                if whole or not still_there(catalog, record, now=clock()):
                    continue
                verified.lost.append(record.media.id)
                yield record.media.id
                for owner in record.owners if give_up else ():
                    catalog.release(record.media.id, owner, now=clock())
            renditions = catalog.renditions(list({each.sha256 for each in media})).items()
            kept = [each for each in renditions if each[1].storage_key]
            sizes = threads.map(lambda each: library.storage.size(each[1].storage_key), kept)
            for each, size in zip(kept, sizes, strict=True):
                (sha256, fit), rendition = each
                # It may have been deleted during the check.
                if size == rendition.bytes or each not in catalog.renditions([sha256]).items():
                    continue
                verified.lost_renditions += 1
                if give_up:
                    catalog.drop_rendition(sha256, fit, now=clock())


def _is_whole(library: Library, media: Media, *, by_hash: bool) -> bool:
    if not by_hash:
        return library.storage.size(media.storage_key) == media.bytes
    try:
        return hash_of(library.storage, media.storage_key) == media.sha256
    except ObjectMissing:
        return False
