"""What the library needs from a storage: keep bytes under a key, and sign download URLs for it.

All methods but `presign_get` and `media_id_of_url` are synchronous I/O and may be called from any
thread. Every I/O method raises `StorageUnavailable` if the service is unavailable, refuses our
credentials or does not answer in time. The library never writes one key twice, apart from the
upload key of a direct upload, which a client writes through a presigned URL.

Keys are ASCII, made of ``[a-z0-9_./-]``, relative, without empty or dot segments, at most 200
characters; anything else is a `ValueError`. The rule is narrower than any service's, so that a key
is the same text in a file name, a URL path, a form field and a signature: nothing ever needs
escaping.

A storage says by attributes what else it can do: `Storage.uploads` for direct uploads by clients,
`Storage.urls` where the sidecar answers the storage's URLs itself, `Storage.diagnose` for
``jan-media doctor``. A class that derives from `Storage` has none of these unless it sets them.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from jan_media.doctor.finding import Finding
    from jan_media.storage.local_urls import LocalUrls

CHUNK = 256 * 1024  # bytes: the most of an object that is in memory at once


class StorageUnavailable(Exception):
    """The storage is unavailable, refused us or is too slow. A later attempt may work."""


class StorageRefused(StorageUnavailable):
    """The storage answered with a refusal: the settings are wrong. Waiting will not help."""


class ObjectMissing(Exception):
    """There is no object under that key."""


@dataclass(frozen=True, slots=True)
class PresignedPost:
    """A browser-style upload: POST ``fields`` and then the file, as multipart/form-data."""

    url: str
    fields: dict[str, str]


class TakesUploads(Protocol):
    """A storage to which clients may write directly."""

    def presign_put(self, key: str, *, mime: str, ttl: int) -> str:
        """A URL that takes a PUT of the object with ``Content-Type: mime`` for ``ttl`` seconds.

        Raises as `Storage.presign_get` does.
        """

    def presign_post(self, key: str, *, max_bytes: int, ttl: int) -> PresignedPost:
        """A form that takes the object for ``ttl`` seconds: exactly this key, and between 1 and
        ``max_bytes`` bytes; anything else is refused by the storage itself. The type is left open:
        the bytes determine it. Raises as `Storage.presign_get` does."""


class Storage(Protocol):
    """Bytes under keys. See the module for the promises of every method."""

    @property
    def uploads(self) -> TakesUploads | None:
        """How clients write to it directly; None if they cannot."""
        return None

    @property
    def urls(self) -> "LocalUrls | None":
        """Signs and checks URLs that lead to the sidecar; None if they lead to the storage."""
        return None

    def diagnose(self) -> "Iterator[Finding]":
        """Use it as the sidecar and its clients do, and report what is wrong with its setup.

        Never raises for what it finds.
        """
        return iter(())

    def check(self) -> None:
        """Do one cheap real operation; raise `StorageUnavailable` if that fails."""

    def close(self) -> None:
        """Close connections. The storage cannot be used afterwards."""

    def put(self, key: str, source: BinaryIO, *, mime: str) -> None:
        """Write ``source``, which is seekable, from its position to its end, under ``key``.

        Replaces an existing object. The source stays open.
        Durable when it returns. A reader sees the whole object or none; a crash leaves no
        partial object under ``key``. Memory stays bounded whatever the size.
        """

    def read(
        self, key: str, *, start: int = 0, stop: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Open the bytes ``[start, stop)``, which come in pieces of at most 256 KiB.

        Raises `ObjectMissing`. The object has ``start``, which is before ``stop``; what lies beyond
        its end is left out. What was opened is read to its end even if the key is deleted or
        rewritten meanwhile, or reading fails: bytes of two objects are never mixed.
        """

    def size(self, key: str) -> int | None:
        """The object's size in bytes, or None if there is no such object."""

    def copy(self, source: str, target: str, *, mime: str) -> None:
        """Copy an object as one atomic snapshot to a fresh key.

        Whatever happens to ``source`` afterwards does not change ``target``. Durable when it
        returns. Raises `ObjectMissing`.
        """

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; one that is not there counts as deleted."""

    def presign_get(self, key: str, *, mime: str, filename: str, ttl: int) -> str:
        """A URL that serves the object for ``ttl`` seconds to anyone who holds it.

        It is answered with ``Content-Type: mime`` and ``Content-Disposition: inline`` with
        ``filename``, which is made of ``[A-Za-z0-9_.-]`` (anything else is a `ValueError`) and
        stands in the URL as it is. Costs a few HMACs and does no I/O, unless temporary credentials
        are due to be renewed; raises `StorageUnavailable` if they cannot be.
        """

    def renew_credentials(self) -> None:
        """Renew temporary credentials that are old, so that signing waits for nobody.

        Raises `StorageUnavailable` if they cannot be renewed. Most storages have none.
        """
        return

    def media_id_of_url(self, url: str) -> str | None:
        """The media id (canonical) that a URL of `presign_get` names by its file name.

        None if the URL does not lead to this storage or its file name is not an id's. Neither the
        signature nor the time of the URL matter. Pure computation.
        """


MAX_KEY = 200  # characters: a file name holds 255 bytes, an S3 key 1024
_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[a-z0-9_.-]+"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)
_FILENAME = re.compile(r"(?!\.)[A-Za-z0-9_.-]{1,100}", re.ASCII)


def require_key(key: str) -> str:
    """Return ``key``. Raises `ValueError` if it is not a valid key: a bug of the caller."""
    if len(key) > MAX_KEY or not _KEY.fullmatch(key):
        raise ValueError(f"not a storage key: {key!r}")
    return key


def require_filename(filename: str) -> str:
    """Return ``filename``. Raises `ValueError` if no download URL can carry it."""
    if not _FILENAME.fullmatch(filename):
        raise ValueError(f"not a plain file name: {filename!r}")
    return filename
