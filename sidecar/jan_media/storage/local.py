"""Objects as files in a folder, for one machine.

How the contract is kept
    An object is the file ``<root>/<2 hex digits>/<key>``, with ``,`` for each ``/`` of the key
    (a key has no comma). The digits come from the key's SHA-256 and spread the files over 256
    folders. A key has no separator left when it becomes a file name, so it cannot leave the root.

    ``put`` writes ``<root>/incoming/<random>``, fsyncs it, renames it over the object and fsyncs
    the folder: a reader sees the old object, the new one, or none, and what returned survives a
    power cut. The 256 folders are made and fsynced at the start, so no later write depends on an
    root entry that is not yet on disk.

    ``copy`` is a hard link. A link is a snapshot here because no file is ever opened for writing
    once it has its name: a later ``put`` of the source gives that name another inode and leaves
    ours alone. Its bytes were fsynced before they had a name; only the new entry remains to be.
    On file systems without hard links (some network and FUSE ones), the bytes are copied.

    ``delete`` fsyncs too: the caller forgets a key once it is deleted, so an object that came back
    after a power cut would stay forever.

    Content types are not stored: a signed URL says the type with which its object is served.

What it needs
    A POSIX file system with atomic rename and flock, all of ``<root>`` on one mount, and the right
    to write there. Any number of processes of one machine may share the folder.

Browser uploads
    The sidecar itself takes them on ``/files`` (see `local_urls`) and answers CORS there.

Beware
    A process that dies in ``put`` leaves its file in ``incoming``. It held a lock on it, which
    died with it: the next process to start deletes every file there that nobody holds.
    A backup may copy the folder while it is in use, but takes the catalog first, so that each id
    it knows has its bytes.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from jan_media.storage.interface import (
    CHUNK,
    ObjectMissing,
    Storage,
    StorageUnavailable,
    TakesUploads,
    require_key,
)
from jan_media.storage.local_urls import LocalUrls

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV, errno.ENOSYS}


class LocalStorage(LocalUrls, Storage):
    """A `Storage` in the folder ``root``. See the module for how it keeps the contract.

    Its URLs and forms are those of `LocalUrls`, which the sidecar answers.
    """

    def __init__(
        self,
        root: Path,
        *,
        public_url: str,
        secret: bytes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``public_url`` and ``secret`` are those of `LocalUrls`; ``clock`` gives Unix seconds.

        Raises `StorageUnavailable` if the folder cannot be made or written.
        """
        super().__init__(public_url, secret, clock=clock)
        self.root = root
        self._incoming = root / "incoming"
        with _failures_mapped():
            root.mkdir(parents=True, exist_ok=True)
            for folder in (self._incoming, *(root / f"{number:02x}" for number in range(256))):
                folder.mkdir(mode=0o700, exist_ok=True)
            _fsync_folder(root)
            self._clear_abandoned()

    @property
    def uploads(self) -> TakesUploads:
        return self

    @property
    def urls(self) -> LocalUrls:
        return self

    def check(self) -> None:
        with _failures_mapped(), self._new_file() as (file, _):
            file.write(b"still writable?")
            file.flush()
            self._clear_abandoned()  # a worker that replaces a killed one starts with a check

    def close(self) -> None:
        pass

    def put(self, key: str, source: BinaryIO, *, mime: str) -> None:
        target = self._path(key)
        with _failures_mapped(), self._new_file() as (file, path):
            shutil.copyfileobj(source, file, CHUNK)
            file.flush()
            os.fsync(file.fileno())
            path.replace(target)
            _fsync_folder(target.parent)

    @contextmanager
    def read(
        self, key: str, *, start: int = 0, stop: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        path = self._path(key)
        with _failures_mapped(path):
            file = path.open("rb", buffering=0)
        with file:
            yield _pieces(file, start, stop)

    def size(self, key: str) -> int | None:
        path = self._path(key)
        try:
            with _failures_mapped(path):
                return path.stat().st_size
        except ObjectMissing:
            return None

    def copy(self, source: str, target: str, *, mime: str) -> None:
        from_path, to_path = self._path(source), self._path(target)
        with _failures_mapped(from_path):
            try:
                os.link(from_path, to_path)
                _fsync_folder(to_path.parent)
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                with from_path.open("rb") as file:
                    self.put(target, file, mime=mime)

    def delete(self, keys: Sequence[str]) -> None:
        paths = [self._path(key) for key in keys]
        with _failures_mapped():
            for path in paths:
                path.unlink(missing_ok=True)
            for folder in {path.parent for path in paths}:
                _fsync_folder(folder)

    def _path(self, key: str) -> Path:
        name = require_key(key).replace("/", ",")
        return self.root / hashlib.sha256(key.encode()).hexdigest()[:2] / name

    @contextmanager
    def _new_file(self) -> Iterator[tuple[BinaryIO, Path]]:
        """A locked file in ``incoming``, deleted at the end unless it was renamed."""
        while True:
            path = self._incoming / secrets.token_hex(16)
            with os.fdopen(
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
            ) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file.fileno()).st_nlink == 0:
                    continue  # another process, just starting, deleted it before it was locked
                try:
                    yield file, path
                finally:
                    path.unlink(missing_ok=True)
                return

    def _clear_abandoned(self) -> None:
        for path in self._incoming.iterdir():
            with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


@contextmanager
def _failures_mapped(wanted: Path | None = None) -> Iterator[None]:
    """Turn what the file system raises into the interface's errors.

    Nothing there is `ObjectMissing` if ``wanted`` is the object that was looked for and its folder
    is there. A folder that is gone means a disk that is not mounted: no object is missing then.
    """
    try:
        yield
    except FileNotFoundError as error:
        if wanted is not None and wanted.parent.is_dir():
            raise ObjectMissing(wanted.name.replace(",", "/")) from error
        raise StorageUnavailable("The data folder is not there: is its disk mounted?") from error
    except OSError as error:
        raise StorageUnavailable(f"The data folder does not work: {error.strerror}.") from error


def _pieces(file: BinaryIO, start: int, stop: int | None) -> Iterator[bytes]:
    with _failures_mapped():
        end = os.fstat(file.fileno()).st_size
        left = (end if stop is None else min(stop, end)) - start
        file.seek(start)
        while left > 0:
            piece = file.read(min(CHUNK, left))
            if not piece:
                raise StorageUnavailable("The stored file is shorter than it was.")
            left -= len(piece)
            yield piece


def _fsync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
