"""Owners: their names, and what they keep."""

from collections.abc import Sequence
from dataclasses import dataclass

from jan_media.catalog.interface import Owned, Position
from jan_media.errors import Refused
from jan_media.library.library import Library

MAX_BYTES = 1024  # of UTF-8: an index of the catalog holds it


def require_owner(owner: str) -> str:
    """Return ``owner``. Raises `Refused` (``invalid_field``) if no catalog can hold it."""
    try:
        size = len(owner.encode())
    except UnicodeEncodeError:
        raise _refused("must be valid Unicode: it has half a surrogate pair") from None
    if size > MAX_BYTES:
        raise _refused(f"is too long: with its issuer it may have {MAX_BYTES} bytes of UTF-8")
    if "\0" in owner:
        raise _refused("must not contain NUL characters")
    return owner


def _refused(why: str) -> Refused:
    return Refused("invalid_field", f"The user's name {why}", "user_id")


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list."""

    items: list[Owned]
    more: bool  # whether something follows


def page(
    library: Library,
    owner: str,
    *,
    limit: int,
    after: Position | None = None,
    oldest_first: bool = False,
    purpose: str = "",
    ids: Sequence[str] | None = None,
) -> Page:
    """Ready media of ``owner``, newest first: the next ``limit`` after a position.

    Raises `Refused` and `CatalogUnavailable`.
    """
    owned = library.catalog.list_owned(
        require_owner(owner),
        now=library.clock(),
        limit=limit + 1,
        after=after,
        oldest_first=oldest_first,
        purpose=purpose,
        ids=ids,
    )
    return Page(owned[:limit], more=len(owned) > limit)
