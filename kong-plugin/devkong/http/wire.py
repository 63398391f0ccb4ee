"""HTTP/1.1 over a pair of asyncio streams, by h11."""

import asyncio

import h11

_READ = 64 * 1024


class BadMessage(Exception):
    """The peer sent a message that is refused. status: of the answer to a client."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Aborted(Exception):
    """The peer went away before its message was complete."""


class Wire:
    """One connection, seen from one end of it."""

    def __init__(
        self,
        role: type[h11.CLIENT] | type[h11.SERVER],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        largest_head: int,
    ) -> None:
        self.h11 = h11.Connection(role, max_incomplete_event_size=largest_head)
        self._reader = reader
        self.writer = writer

    async def receive(self, seconds: float | None = None) -> h11.Event:
        """Return the next event, or ConnectionClosed.

        seconds: how long to wait for the next bytes.
        Raises BadMessage, Aborted for a message that is cut off, TimeoutError.
        """
        while True:
            try:
                event = self.h11.next_event()
            except h11.RemoteProtocolError as error:
                if self._reader.at_eof():
                    raise Aborted(str(error)) from error
                raise BadMessage(error.error_status_hint, str(error)) from error
            if isinstance(event, h11.Event):
                return event
            if event is h11.PAUSED:
                raise BadMessage(400, "more than one message")
            try:
                async with asyncio.timeout(seconds):
                    data = await self._reader.read(_READ)
            except OSError as error:
                if isinstance(error, TimeoutError):
                    raise
                raise Aborted(str(error)) from error
            self.h11.receive_data(data)

    async def body(self, seconds: float | None = None) -> bytes:
        """Return the next part of the body, b"" at its end. Raises what receive raises."""
        while True:
            event = await self.receive(seconds)
            if isinstance(event, h11.EndOfMessage):
                return b""
            if isinstance(event, h11.ConnectionClosed):
                raise Aborted("the connection was closed")
            if isinstance(event, h11.Data) and event.data:
                return bytes(event.data)

    def send(self, event: h11.Event) -> None:
        """Send an event. Raises h11.LocalProtocolError for one that is not valid HTTP."""
        data = self.h11.send(event)
        if data and not self.writer.is_closing():
            self.writer.write(data)

    def close(self) -> None:
        """Close at once, and drop what has not been sent yet."""
        self.writer.transport.abort()
