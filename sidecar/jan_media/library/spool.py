"""An upload while it arrives: its bytes are counted, hashed, and written to disk if many."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Self, cast

from jan_media.errors import ContentTooLarge

MEMORY = 256 * 1024


class Spool:
    """A file that is deleted when it is closed, or when the process dies.

    Use it from one thread at a time. Up to `MEMORY` bytes stay in memory.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.size = 0
        self.max_bytes = max_bytes
        self._digest = hashlib.sha256()
        self._file = SpooledTemporaryFile(max_size=MEMORY, dir=str(folder))  # noqa: SIM115

    def write(self, chunk: bytes) -> None:
        """Append bytes. Raises `ContentTooLarge` before it keeps too many."""
        self.size += len(chunk)
        if self.size > self.max_bytes:
            raise ContentTooLarge(self.max_bytes)
        self._digest.update(chunk)
        self._file.write(chunk)

    def fill(self, opened: AbstractContextManager[Iterator[bytes]]) -> None:
        """Append an object's bytes. Raises like `write`, and as the storage's `read` does."""
        with opened as pieces:
            for piece in pieces:
                self.write(piece)

    @property
    def sha256(self) -> str:
        """The hash of all that was written, lower-case hex."""
        return self._digest.hexdigest()

    def from_start(self) -> BinaryIO:
        """The bytes as a seekable file, positioned at its start."""
        self._file.seek(0)
        return cast(BinaryIO, self._file)

    def close(self) -> None:
        """Drop the bytes."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
