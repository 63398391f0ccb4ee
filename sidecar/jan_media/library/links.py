"""Presigned download URLs."""

import re
from dataclasses import dataclass

from jan_media.catalog.interface import Media
from jan_media.library.library import Library

_USUAL_EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/svg+xml": "svg",
    "audio/mpeg": "mp3",
    "text/plain": "txt",
}


_NOT_PLAIN = re.compile(r"[^A-Za-z0-9.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Link:
    """A URL that anyone who holds it can read one media with, for a while."""

    url: str
    ttl: int  # seconds
    expires_at: int  # ms


def link(library: Library, media: Media, *, ttl: int | None = None) -> Link:
    """A URL for ready media, that of clients if ``ttl`` (seconds) is None. Does no I/O."""
    ttl = ttl or library.rules.download_ttl
    url = library.storage.presign_get(
        media.storage_key, mime=media.mime, filename=filename(media), ttl=ttl
    )
    return Link(url=url, ttl=ttl, expires_at=library.clock() + ttl * 1000)


def filename(media: Media) -> str:
    """The name that a download is saved under: the id and the usual extension of its type."""
    subtype = media.mime.partition("/")[2].removeprefix("x-")
    extension = _USUAL_EXTENSIONS.get(media.mime) or _NOT_PLAIN.sub("-", subtype)[:60]
    return f"{media.id}.{extension}"
