"""Pictures converted for a model: once, at their first use, and kept as long as the original.

A rendition has its own storage key, which is held as garbage while its bytes are written, like an
upload's. When the original is removed, the catalog gives the key to the sweep.
"""

import io
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, replace

from jan_media.catalog.interface import Media, Rendition
from jan_media.content.allowed_types import CHECKED
from jan_media.content.decoders import DECODERS
from jan_media.content.refusals import MediaRefused, TooExpensive
from jan_media.errors import Refused
from jan_media.library.library import Library, under_fresh_key
from jan_media.library.resolve import not_found
from jan_media.library.spool import Spool
from jan_media.renditions.fit import Fit
from jan_media.storage.interface import ObjectMissing

# While one process makes a rendition, the others wait for it rather than make it again.
_LEASE_MS = 90_000
_PATIENCE = 20.0  # seconds
_POLL = 0.05


def known(library: Library, media: Sequence[Media], fit: Fit) -> dict[str, Rendition]:
    """The renditions that were tried before, by SHA-256, in one query. Only pictures are looked
    up. Raises `CatalogUnavailable`."""
    hashes = list({each.sha256 for each in media if each.mime in CHECKED})
    made = library.catalog.renditions(hashes, fit.key) if hashes else {}
    return {sha256: each for (sha256, _), each in made.items()}


def as_it_fits(media: Media, rendition: Rendition | None) -> Media:
    """Ready media as a model gets it: the same id, with the rendition's bytes if it has any.

    ``rendition`` is None for other media than pictures. Raises `Refused` if it cannot fit.
    """
    if rendition is None:
        return media
    if rendition.failure_code:
        raise Refused(rendition.failure_code, rendition.failure_message)
    if not rendition.storage_key:
        return media
    return replace(
        media,
        storage_key=rendition.storage_key,
        mime=rendition.mime,
        bytes=rendition.bytes,
        sha256=f"{media.sha256}-{rendition.storage_key.rpartition('/')[2]}",
    )


def make(library: Library, media: Media, fit: Fit) -> Rendition:
    """Make a rendition, or wait for the process that is making it. Blocking.

    If it cannot be made, that is stored, too. Raises `Refused` (``service_unavailable`` the first
    time that it takes too long), `CatalogUnavailable` and `StorageUnavailable`.
    """
    name, holder = f"renditions {media.sha256[:2]}", secrets.token_hex(8)
    until = time.monotonic() + _PATIENCE
    while not library.catalog.lease(
        name, holder, now=library.clock(), until=library.clock() + _LEASE_MS
    ):
        if time.monotonic() > until:
            raise _late()
        time.sleep(_POLL)
    try:
        made = known(library, [media], fit).get(media.sha256)
        return made or _make(library, media, fit)
    finally:
        library.catalog.lease(name, holder, now=library.clock(), until=library.clock())


def _late() -> Refused:
    return Refused("service_unavailable", "The image is still being converted: try again soon")


def _make(library: Library, media: Media, fit: Fit) -> Rendition:
    content, late = None, False
    try:
        content, made = _render(library, media, fit)
    except ObjectMissing:
        raise not_found() from None
    except MediaRefused as refusal:
        late = isinstance(refusal, TooExpensive)
        message = f"The image cannot be converted to what the model takes. {refusal.message}"
        made = Rendition("", media.mime, 0, failure_code=refusal.code, failure_message=message)

    def write(key: str) -> Rendition | None:
        if content is not None:
            library.storage.put(key, io.BytesIO(content), mime=made.mime)
        done = replace(made, storage_key=key)
        return library.catalog.keep_rendition(media.sha256, fit.key, done, now=library.clock())

    kept = write("") if content is None else under_fresh_key(library, write)
    if kept is None:
        raise not_found()
    if late:
        raise _late()
    return kept


def _render(library: Library, media: Media, fit: Fit) -> tuple[bytes | None, Rendition]:
    """The bytes, None if it fits unchanged; and the result, without a key."""
    with Spool(library.spool_dir, max_bytes=media.bytes) as spool:
        spool.fill(library.storage.read(media.storage_key))
        done = DECODERS.run(
            *("render", spool.from_start(), media.bytes, media.mime),
            max_pixels=library.rules.max_pixels,
            fit=asdict(fit),
        )
    content = done["content"]
    size = media.bytes if content is None else len(content)
    return content, Rendition("", done["mime"], size, done["width"], done["height"])
