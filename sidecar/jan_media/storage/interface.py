"""What the library asks of a storage: keep bytes under a key, and sign URLs for it.

All methods but the presigning ones are synchronous I/O and may be called from any thread. Keys
are ASCII, made of ``[a-z0-9_./-]``, relative, without empty or dot segments, at most 200
characters (anything else is a `ValueError`); the library never writes one key twice, apart from
the upload key of a direct upload, which a client writes through a presigned URL. Every I/O method
raises `StorageUnavailable` when the service is away, refuses our credentials or does not answer
in time. Presigning is pure computation: no I/O, no failure.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

CHUNK = 256 * 1024  # bytes: no more of an object than this is ever held in memory at once


class StorageUnavailable(Exception):
    """The storage is away, refused our credentials or is too slow. Later may work."""


class StorageRefused(StorageUnavailable):
    """The storage answered and refuses: the settings are wrong. Waiting will not help."""


class ObjectMissing(Exception):
    """There are no bytes under that key."""


@dataclass(frozen=True, slots=True)
class PresignedPost:
    """A browser-style upload: POST ``fields`` and then the file, as multipart/form-data."""

    url: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class PresignedPut:
    """A plain upload: PUT the bytes with exactly these headers."""

    url: str
    headers: dict[str, str]


class Reading(Protocol):
    """An object being read."""

    @property
    def total(self) -> int:
        """Bytes of the whole object, whatever range is read."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes of the range, in pieces of at most 256 KiB."""


class Storage(Protocol):
    """Bytes under keys. See the module for the promises of every method."""

    def check(self) -> None:
        """Do one cheap real operation; raise `StorageUnavailable` if that fails."""

    def disconnect(self) -> None:
        """Close idle connections, as before a fork. What is done afterwards opens new ones."""

    def close(self) -> None:
        """Give back connections. The storage cannot be used afterwards."""

    def put(
        self, key: str, source: BinaryIO, *, size: int, mime: str, sha256: str | None = None
    ) -> None:
        """Write ``size`` bytes of ``source`` (from its position; seekable) under ``key``.

        ``sha256`` is their hash (lower-case hex), if known, which may spare hashing them again.

        Replaces an object that is there. Raises `ValueError` if the source has fewer bytes.
        Durable when it returns. A reader sees the whole object or none; a crash leaves no
        partial object under ``key``. Memory stays bounded whatever the size.
        """

    def read(
        self, key: str, *, start: int = 0, stop: int | None = None
    ) -> AbstractContextManager[Reading]:
        """Open the bytes ``[start, stop)`` for reading. Raises `ObjectMissing`.

        What lies beyond the object's end is left out, so a range may turn out empty. What was
        opened is read to its end even if the key is deleted or rewritten meanwhile, or reading
        fails: bytes of two objects are never mixed.
        """

    def size(self, key: str) -> int | None:
        """The object's size in bytes, or None if there is no such object."""

    def copy(self, source: str, target: str, *, mime: str) -> int:
        """Copy an object as one atomic snapshot to a fresh key; returns its size in bytes.

        Whatever happens to ``source`` afterwards does not change ``target``. Durable when it
        returns. Raises `ObjectMissing`.
        """

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; one that is not there counts as deleted."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key below ``prefix``: for backup, migration and tests, never on a request."""

    def presign_get(self, key: str, *, mime: str, filename: str, ttl: int) -> str:
        """A URL that serves the object for ``ttl`` seconds to anyone who holds it.

        It is answered with ``Content-Type: mime`` and ``Content-Disposition: inline`` with
        ``filename``. Costs a few HMACs.
        """

    def presign_put(self, key: str, *, mime: str, ttl: int) -> PresignedPut:
        """A URL that takes a PUT of the object, of that content type, for ``ttl`` seconds."""

    def presign_post(self, key: str, *, mime: str, max_bytes: int, ttl: int) -> PresignedPost:
        """A form that takes the object for ``ttl`` seconds: exactly this key, this content type,
        between 1 and ``max_bytes`` bytes; anything else is refused by the storage itself."""
