"""Looking whether every ready id has its bytes: after a restore, or after a disk went bad.

An id without bytes is worse than none: the same content, uploaded again, would be answered with
that id. So what is lost can be given up, and then it can be uploaded anew.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from jan_media.catalog.interface import State
from jan_media.catalog.transfer import Record
from jan_media.library.library import Library
from jan_media.library.move import batches, hash_of, still_there
from jan_media.storage.interface import ObjectMissing

JOBS = 8  # objects that are looked at at once


def looked_at(library: Library, *, by_hash: bool) -> Iterator[tuple[Record, bool]]:
    """Each ready id, and whether its bytes are there and as many as they should be.

    ``by_hash`` also reads them all, and compares. Raises `CatalogUnavailable` and
    `StorageUnavailable`.
    """
    whole = partial(_is_whole, library, by_hash=by_hash)
    with ThreadPoolExecutor(JOBS, thread_name_prefix="verify") as threads:
        for ids in batches(library.catalog, library.clock):
            records = library.catalog.records(ids, now=library.clock()).values()
            ready = [record for record in records if record.media.state is State.READY]
            for record, right in zip(ready, threads.map(whole, ready), strict=True):
                yield record, right or not still_there(library.catalog, record, now=library.clock())


def lost_renditions(library: Library) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Renditions whose bytes are missing, or not as many as they should be: the hash of the
    original, and the name of the limits. They come with how many ids have been looked at for them.

    Raises `CatalogUnavailable` and `StorageUnavailable`.
    """
    with ThreadPoolExecutor(JOBS, thread_name_prefix="verify") as threads:
        for ids in batches(library.catalog, library.clock):
            records = library.catalog.records(ids, now=library.clock()).values()
            hashes = {record.media.sha256 for record in records if record.media.sha256}
            kept = [
                each for each in library.catalog.renditions_of(list(hashes)) if each[2].storage_key
            ]
            sizes = threads.map(lambda each: library.storage.size(each[2].storage_key), kept)
            lost = [
                (sha256, fit)
                for (sha256, fit, rendition), size in zip(kept, sizes, strict=True)
                if size != rendition.bytes
                # not deleted while it was looked for
                and (sha256, fit, rendition) in library.catalog.renditions_of([sha256])
            ]
            yield len(ids), lost


def give_up_lost(library: Library, record: Record) -> None:
    """Give up every claim on an id, and with them the id. Raises `CatalogUnavailable`."""
    for owner in record.owners:
        library.catalog.release(record.media.id, owner, now=library.clock())


def _is_whole(library: Library, record: Record, *, by_hash: bool) -> bool:
    media = record.media
    if not by_hash:
        return library.storage.size(media.storage_key) == media.bytes
    try:
        return hash_of(library.storage, media.storage_key) == media.sha256
    except ObjectMissing:
        return False
