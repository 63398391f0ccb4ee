"""Turns ids into media with presigned URLs, many at once. Chat requests wait for this."""

import re
from dataclasses import dataclass, field

from jan_media.catalog.interface import Media, State
from jan_media.errors import Refused
from jan_media.library.library import Library

_USUAL_EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/svg+xml": "svg",
    "audio/mpeg": "mp3",
    "text/plain": "txt",
}
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Found:
    """Media that has its bytes, and a fresh URL by which anyone can read them for a while."""

    media: Media
    url: str
    ttl: int  # seconds that the URL lives
    expires_at: int  # ms: when it ends
    deduped: bool = False  # just uploaded, and the bytes were stored already


def link(library: Library, media: Media, *, ttl: int | None = None, deduped: bool = False) -> Found:
    """Ready media with a URL, valid for ``ttl`` seconds, None: as for clients. Does no I/O."""
    ttl = ttl or library.rules.download_ttl
    url = library.storage.presign_get(
        media.storage_key, mime=media.mime, filename=filename(media), ttl=ttl
    )
    return Found(media, url, ttl, expires_at=library.clock() + ttl * 1000, deduped=deduped)


def filename(media: Media) -> str:
    """The name that a download is saved under: the id and the usual extension of its type."""
    subtype = media.mime.partition("/")[2].removeprefix("x-")
    extension = _USUAL_EXTENSIONS.get(media.mime) or _NOT_PLAIN.sub("-", subtype)[:60]
    return f"{media.id}.{extension}"


@dataclass(frozen=True, slots=True)
class Resolved:
    """The known media of some ids. An id in neither map does not exist."""

    found: dict[str, Found] = field(default_factory=dict)
    unready: dict[str, Media] = field(default_factory=dict)  # rejected, or pending (see `complete`)
    ttl: int | None = None  # seconds that the URLs live, None: as a client's

    def settle(self, library: Library, media: Media, *, deduped: bool = False) -> None:
        """Add the current media of an id, with a URL if it is ready. Does no I/O."""
        if media.state is State.READY:
            self.found[media.id] = link(library, media, ttl=self.ttl, deduped=deduped)
        else:
            self.unready[media.id] = media

    def require(self, media_id: str) -> Found:
        """The media of an id. Raises `Refused`, with the reason, if there is none."""
        found = self.found.get(media_id)
        if found is None:
            raise why_not(self.unready.get(media_id))
        return found


def why_not(media: Media | None) -> Refused:
    """The refusal of an id whose bytes cannot be read, with the reason."""
    if media is None:
        return not_found()
    if media.state is State.PENDING:
        return Refused(
            "upload_pending",
            "Nothing has been uploaded for this id yet: send the file to its upload URL first",
        )
    return Refused(
        media.rejection_code,
        f"The direct upload of this id was refused: {media.rejection_message}",
    )


def not_found() -> Refused:
    """The refusal of an unknown id."""
    return Refused("media_not_found", "Media not found: it never existed, expired or was deleted")
