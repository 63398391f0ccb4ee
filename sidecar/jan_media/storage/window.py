"""A part of a file, as a file of its own."""

import io
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Window(io.RawIOBase):
    """``size`` bytes of a seekable ``source`` from ``start``, read-only, beginning at 0.

    An HTTP client that retries rewinds to 0; here that is the start of the stretch. Nothing is
    copied. Not for use by two threads at once, since it moves the source's position.
    """

    def __init__(self, source: BinaryIO, start: int, size: int) -> None:
        self._source = source
        self.start = start
        self._size = size
        self._position = 0

    def __len__(self) -> int:
        return self._size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        target = memoryview(buffer).cast("B")
        wanted = min(len(target), max(0, self._size - self._position))
        self._source.seek(self.start + self._position)
        data = self._source.read(wanted)
        target[: len(data)] = data
        self._position += len(data)
        return len(data)


def window_of(source: BinaryIO, size: int) -> Window:
    """The next ``size`` bytes of ``source``. Raises `ValueError` if it does not have as many."""
    start = source.tell()
    available = source.seek(0, io.SEEK_END) - start
    source.seek(start)
    if available < size:
        raise ValueError(f"the source has {available} bytes left, {size} were announced")
    return Window(source, start, size)
