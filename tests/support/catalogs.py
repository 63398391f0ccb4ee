"""Helpers for catalogs: open one, upload to it, and check what an upload must leave."""

import hashlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from jan_media.catalog.catalog import Catalog
from jan_media.catalog.interface import Claim, Claimed, Content
from jan_media.catalog.open import open_catalog
from jan_media.media_id import new_media_id

_numbers = itertools.count(1)


@contextmanager
def open_migrated(url: str) -> Iterator[Catalog]:
    """Open the catalog at ``url`` with the current schema; close it in the end."""
    catalog = open_catalog(url)
    try:
        catalog.migrate()
        yield catalog
    finally:
        catalog.close()


def content_of(data: bytes, mime: str = "image/png") -> Content:
    """What hashing ``data`` finds out."""
    return Content(hashlib.sha256(data).hexdigest(), mime, len(data))


def new_key(prefix: str = "objects") -> str:
    """A storage key that was never used before, in any process."""
    return f"{prefix}/{new_media_id()}/{next(_numbers)}"


def upload(
    catalog: Catalog,
    data: bytes,
    owner: str = "ann",
    *,
    now: int,
    expires_at: int,
    new_id: str | None = None,
    storage_key: str | None = None,
) -> Claimed:
    """Upload as the library does when the content is not known yet."""
    key = storage_key or new_key()
    catalog.intend(key, due_at=now + 3_600_000)
    return catalog.commit_upload(
        new_id or new_media_id(now), content_of(data), key, Claim(owner, now), expires_at=expires_at
    )
