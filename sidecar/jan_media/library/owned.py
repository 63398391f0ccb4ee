"""What belongs to one owner: the list of it, and giving it up."""

import contextlib
from dataclasses import dataclass

from jan_media.catalog.interface import CatalogUnavailable, Quota, Released, Usage
from jan_media.errors import Refused
from jan_media.library.library import Library
from jan_media.library.links import link
from jan_media.library.owner import require_owner
from jan_media.library.resolve import Found, not_found
from jan_media.library.sweep import reclaim
from jan_media.storage.interface import StorageUnavailable

# Deleting a content makes one key due; a few more keep deletions ahead of what they leave behind.
_RECLAIMED_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list."""

    items: list[Found]
    next: str | None  # the ``before`` of the next part; None if this was the last


def page(library: Library, owner: str, *, limit: int, before: str | None) -> Page:
    """Ready media of ``owner``, newest first. Raises `Refused` and `CatalogUnavailable`."""
    media = library.catalog.list_owned(
        require_owner(owner), now=library.clock(), limit=limit + 1, before=before
    )
    shown = media[:limit]
    return Page(
        items=[Found(each, link(library, each)) for each in shown],
        next=shown[-1].id if len(media) > limit else None,
    )


@dataclass(frozen=True, slots=True)
class Share:
    """What an owner keeps, and what is the most. A quota of 0 is none."""

    used: Usage
    quota: Quota


def share(library: Library, owner: str) -> Share:
    """How much ``owner`` keeps. Raises `Refused` and `CatalogUnavailable`."""
    return Share(library.catalog.usage(require_owner(owner)), library.rules.quota_of(owner))


def give_up(library: Library, media_id: str, owner: str) -> None:
    """Give up ``owner``'s claim on an id; the id and its bytes go with the last claim.

    Raises `Refused` (``media_not_found``, ``not_owner``) and `CatalogUnavailable`. That the bytes
    cannot be deleted now does not matter: they are garbage by then, and a sweep deletes them.
    """
    released = library.catalog.release(media_id, require_owner(owner), now=library.clock())
    if released is Released.NOT_FOUND:
        raise not_found()
    if released is Released.NOT_OWNER:
        raise Refused("not_owner", "Only those who uploaded this media can delete it")
    if released is Released.GONE:
        with contextlib.suppress(CatalogUnavailable, StorageUnavailable):
            reclaim(library, limit=_RECLAIMED_AT_ONCE)
