"""One request and its response, by h11. Its parser is strict, so heads are corrected first.

A line that is not a header field is dropped, as in browsers and curl. A blank before the colon is
removed, as RFC 9112 (section 5.1) asks of proxies. The fields that mark the content's end stay.
"""

import contextlib
import re
from collections.abc import AsyncIterator

import anyio
import h11
from anyio.abc import ByteStream

from jan_media import __version__
from jan_media.fetch.checked_connection import broke_off, failing
from jan_media.fetch.url import RemoteUrl

_SECONDS = 10.0  # to send the request, and to wait for each read
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_NAME, _LINE = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", rb"[^\0\r\n]*"
_FOLDED = rb"(?:\r?\n[ \t][^\r\n]*)*"
_FIELD = re.compile(rb"^(%b)[ \t]*(:%b%b)\r?$" % (_NAME, _LINE, _FOLDED), re.MULTILINE)
_LONGEST_EVENT = 64 * 1024  # bytes of a head or trailers, above the limit of the connection itself


class Exchange:
    """A GET over a connection of its own.

    Its methods raise `Refused`, and h11's `RemoteProtocolError`.
    """

    def __init__(self, connection: ByteStream, url: RemoteUrl) -> None:
        self._connection = connection
        self._url = url
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_EVENT)
        self._received = b""  # of an incomplete head, or after a complete one

    async def ask(self) -> h11.Response:
        """Send the request; returns the head of the final response."""
        headers = {
            "Host": self._url.authority,
            "User-Agent": f"jan-media/{__version__}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        request = h11.Request(method="GET", target=self._url.target, headers=[*headers.items()])
        async with failing(self._url.host, _SECONDS):
            await self._connection.send(self._http.send(request) or b"")
        self._http.send(h11.EndOfMessage())
        while True:
            self._http.receive_data(_by_the_book(await self._read_head()))
            event = self._http.next_event()
            if isinstance(event, h11.Response):
                return event

    async def content(self) -> AsyncIterator[bytes]:
        """The response's content, as it comes."""
        if self._received:
            self._http.receive_data(self._received)
        while not isinstance(event := self._http.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            else:
                self._http.receive_data(await self._read())

    async def _read_head(self) -> bytes:
        looked_at = 0  # a server may send byte by byte
        while (end := _HEAD_END.search(self._received, looked_at)) is None:
            looked_at = max(0, len(self._received) - 3)
            data = await self._read()
            if not data:
                raise broke_off(self._url.host)
            self._received += data
        head, self._received = self._received[: end.start()], self._received[end.end() :]
        return head

    async def _read(self) -> bytes:
        """The next bytes; none at the end."""
        async with failing(self._url.host, _SECONDS):
            with contextlib.suppress(anyio.EndOfStream):
                return await self._connection.receive()
        return b""


def _by_the_book(head: bytes) -> bytes:
    """The head, reduced to its status line and fields; a folded line goes with its field."""
    status, _, lines = head.partition(b"\n")
    fields = [(name + rest).replace(b"\0", b"") for name, rest in _FIELD.findall(lines)]
    return b"\r\n".join([status.removesuffix(b"\r"), *fields, b"", b""])
