"""What every part of the library uses: catalog, storage, rules, clock, and names of objects.

A storage key is never used twice, so bytes under a key never change.
"""

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from jan_media.catalog.catalog import Catalog
from jan_media.catalog.interface import NO_QUOTA, Claim, IntentLapsed, Media, Quota
from jan_media.content.allowed_types import AllowedTypes
from jan_media.media_id import created_ms
from jan_media.storage.interface import ObjectMissing, Storage, StorageUnavailable

T = TypeVar("T")

UPLOADS = "images/"
CONTENTS = "content/"
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator decided about media."""

    allowed_types: AllowedTypes
    max_bytes: int
    max_pixels: int  # width * height
    retention_ms: int
    hold_ms: int  # how long a key is held for bytes being written before it is garbage
    download_ttl: int  # seconds that a presigned download URL lives
    upload_ttl: int  # seconds that a direct upload may take
    quota: Quota = NO_QUOTA  # what one owner may keep
    guest_quota: Quota = NO_QUOTA  # what a guest may
    guest_issuer: str = ""  # the issuer of the guests' names; "" if there are none

    def quota_of(self, owner: str) -> Quota:
        """What ``owner``, whose name begins with its issuer, may keep."""
        return self.guest_quota if self.is_guest(owner) else self.quota

    def is_guest(self, owner: str) -> bool:
        """Whether ``owner`` is a guest of this installation."""
        return bool(self.guest_issuer) and owner.startswith(f"{self.guest_issuer}|")

    def kept_until(self, now: int, lifetime: int | None = None) -> int:
        """The end (ms) of the retention of what is uploaded at ``now``, to be kept for ``lifetime``
        (ms) if that is less.

        Up to a thousandth is added, so that few of many uploads of one content change the end.
        """
        step = max(1, self.retention_ms // 1000)
        kept = -(-(now + self.retention_ms) // step) * step
        return kept if lifetime is None else min(kept, now + lifetime)


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Library:
    """Where media is kept, and by which rules."""

    catalog: Catalog
    storage: Storage
    rules: Rules
    spool_dir: Path  # where uploads wait while they arrive
    clock: Callable[[], int] = now_ms

    def look_up(self, ids: Sequence[str]) -> dict[str, Media]:
        """Return what is known of ``ids`` (canonical), by id; its URLs can be signed at once.

        Raises `CatalogUnavailable` and `StorageUnavailable`.
        """
        known = self.catalog.get_many(ids, now=self.clock())
        if known:
            self.storage.renew_credentials()
        return known

    def claim_of(self, media_id: str, owner: str) -> Claim | None:
        """The claim that ``owner`` has on an id now, if any. Raises `CatalogUnavailable`."""
        return self.catalog.claim_of(media_id, owner, now=self.clock())

    def close(self) -> None:
        """Close the connections of catalog and storage."""
        self.catalog.close()
        self.storage.close()


class Counts:
    """What some work has done so far, as a dataclass of numbers and lists."""

    @property
    def numbers(self) -> dict[str, int]:
        """The numbers by their names, as commands and logs give them; of a list, its length."""
        return {
            name: len(value) if isinstance(value, list) else value
            for name, value in vars(self).items()
        }

    def __str__(self) -> str:
        return " ".join(f"{name}={number}" for name, number in self.numbers.items())


def fresh_content_key() -> str:
    """A key for the bytes of one content, spread over 256 folders."""
    name = secrets.token_hex(16)
    return f"{CONTENTS}{name[:2]}/{name}"


def under_fresh_key(library: Library, write: Callable[[str], T]) -> T:
    """Intend a key, and call ``write`` to write bytes under it and commit them. If a sweep took
    the key meanwhile, try again with another one.

    Raises `StorageUnavailable` after a few attempts.
    """
    for _ in range(ATTEMPTS):
        key = fresh_content_key()
        library.catalog.intend(key, due_at=library.clock() + library.rules.hold_ms)
        with contextlib.suppress(IntentLapsed, ObjectMissing):
            return write(key)
    raise StorageUnavailable("writing takes longer than MEDIA_SWEEP_GRACE allows")


def upload_key(media_id: str) -> str:
    """The key that a direct upload writes; known to the client, so never served from."""
    return UPLOADS + media_id


def is_upload_key(key: str) -> bool:
    """Whether a client may write, or have written, this key."""
    return key.startswith(UPLOADS)


def held_until(key: str, upload_ttl: int) -> int:
    """Until when (ms) a client may still write the key: 0 unless it is an upload key.

    ``upload_ttl`` is in seconds. The id in the key says when the upload was promised.
    """
    if not is_upload_key(key):
        return 0
    return created_ms(key.removeprefix(UPLOADS)) + upload_ttl * 1000
