"""A real storage whose calls a test can interrupt, with other operations or with a crash."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO

from jan_media.storage.interface import Storage, TakesUploads


class Killed(BaseException):
    """The process ends here: nothing that the library does afterwards happens."""


class InterruptedStorage(Storage):
    """Passes everything on to ``storage``; at one chosen moment it calls what was asked for."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._moment = ""
        self._action: Callable[[], None] = lambda: None
        self.written = ""  # the newest key that was put or copied to
        self.deleting: list[str] = []  # the newest keys that were to be deleted
        self.seen: Callable[[str], None] = lambda key: None  # told of each source just copied

    @contextmanager
    def interrupted(self, moment: str, action: Callable[[], None]) -> Iterator[None]:
        """Call ``action`` at the first ``moment`` inside the block, if it comes."""
        self._moment, self._action = moment, action
        try:
            yield
        finally:
            self._moment = ""

    def _at(self, moment: str) -> None:
        if self._moment == moment:
            self._moment = ""
            self._action()

    def put(self, key: str, source: BinaryIO, *, mime: str) -> None:
        self._at("before put")
        self._storage.put(key, source, mime=mime)
        self.written = key
        self._at("after put")

    def copy(self, source: str, target: str, *, mime: str) -> None:
        self._at("before copy")
        self._storage.copy(source, target, mime=mime)
        self.written = target
        self.seen(source)
        self._at("after copy")

    def delete(self, keys: Sequence[str]) -> None:
        self.deleting = list(keys)
        self._at("before delete")
        self._storage.delete(keys)

    def size(self, key: str) -> int | None:
        self._at("before size")
        return self._storage.size(key)

    def read(
        self, key: str, *, start: int = 0, stop: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        return self._storage.read(key, start=start, stop=stop)

    def check(self) -> None:
        self._storage.check()

    def close(self) -> None:
        self._storage.close()

    def presign_get(self, key: str, *, mime: str, filename: str, ttl: int) -> str:
        return self._storage.presign_get(key, mime=mime, filename=filename, ttl=ttl)

    def media_id_of_url(self, url: str) -> str | None:
        return self._storage.media_id_of_url(url)

    @property
    def uploads(self) -> TakesUploads | None:
        return self._storage.uploads
