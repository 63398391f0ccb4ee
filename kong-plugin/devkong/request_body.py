"""A request's body: read into memory or a temporary file, or passed on as it arrives."""

import tempfile
from collections.abc import AsyncIterator
from typing import IO

from devkong.http.server import ClientConnection, InboundRequest
from devkong.http.wire import BadMessage
from devkong.settings import Settings

_SPOOL_IN_MEMORY = 1024 * 1024
_PIECE = 64 * 1024


class RequestBody:
    """The body of one request."""

    def __init__(
        self, request: InboundRequest, connection: ClientConnection, settings: Settings
    ) -> None:
        self._connection = connection
        self._buffer_size = settings.client_body_buffer_size
        self._limit = settings.client_max_body_size
        self._spool: IO[bytes] | None = None
        self._bytes: bytes | None = None if request.has_body else b""
        self.announced = request.length
        self.length = request.length

    @property
    def is_read(self) -> bool:
        """Whether the whole body has been read."""
        return self._bytes is not None or self._spool is not None

    @property
    def in_memory(self) -> bool:
        """Whether nginx would have kept it in memory, not in a temporary file."""
        return self._bytes is not None

    async def read_whole(self) -> None:
        """Read the whole body.

        Raises Aborted if the client goes away; BadMessage, with 413 for a body that is too large.
        """
        if self.is_read:
            return
        spool = tempfile.SpooledTemporaryFile(max_size=_SPOOL_IN_MEMORY)  # noqa: SIM115
        async for piece in self.pieces():
            spool.write(piece)
        self.length = spool.tell()
        spool.seek(0)
        if self.length <= self._buffer_size:
            self._bytes = spool.read()
            spool.close()
        else:
            self._spool = spool

    def whole(self) -> bytes:
        """Return the whole body, after read_whole."""
        if self._spool:
            self._spool.seek(0)
            return self._spool.read()
        return self._bytes or b""

    def replace(self, data: bytes) -> None:
        """Replace the body, after read_whole."""
        self.close()
        self._bytes, self.length = data, len(data)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield it in pieces, from the spool or as it arrives. Raises what read_whole raises."""
        if self._spool:
            self._spool.seek(0)
            while piece := self._spool.read(_PIECE):
                yield piece
        elif self._bytes is not None:
            if self._bytes:
                yield self._bytes
        else:
            size = 0
            while piece := await self._connection.read_body():
                size += len(piece)
                if self._limit and size > self._limit:
                    raise BadMessage(413, "the body is too large")
                yield piece

    def close(self) -> None:
        """Delete the temporary file."""
        if self._spool:
            self._spool.close()
            self._spool = None
