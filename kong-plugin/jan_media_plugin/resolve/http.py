"""HTTP/1.1 to one server over kept-alive connections: no more of it than asking the sidecar takes.

A general client costs two milliseconds of processor time for a question; this costs a fortieth of
that (``python -m bench.handler``, the rows of cold ids). httptools does the parsing.
"""

import asyncio
import ssl
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import httptools


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    body: bytes


class HttpServer:
    """``url`` is http(s)://host:port, perhaps with a path below which all is, or unix:/path.

    ``headers`` go along with each question. At most ``connections`` are open at a time.
    """

    def __init__(self, url: str, headers: dict[str, str], *, connections: int) -> None:
        self._socket = url.removeprefix("unix:") if url.startswith("unix:") else None
        parts = urlsplit("http://sidecar" if self._socket else url.rstrip("/"))
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._below = parts.path
        lines = {"Host": parts.netloc.rpartition("@")[2], **headers}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode()
        self._places = asyncio.Semaphore(connections)
        self._idle: list[_Connection] = []

    async def post(self, path: str, body: bytes) -> Answer:
        """Ask, and return the answer. Asks again if a kept connection turns out to be closed.

        So it is for questions that may be asked twice. Raises OSError. Whoever stops waiting (by
        cancelling) closes the connection, whose answer would otherwise be taken for the next one.
        """
        head = f"POST {self._below}{path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n".encode()
        question = b"".join([head, self._headers, b"\r\n", body])
        async with self._places:
            while self._idle:
                kept = self._idle.pop()
                try:
                    return await self._ask(kept, question)
                except OSError:
                    if kept.has_heard:
                        raise
            return await self._ask(await self._connect(), question)

    async def _ask(self, connection: "_Connection", question: bytes) -> Answer:
        try:
            answer = await connection.ask(question)
        except BaseException:
            connection.close()
            raise
        if connection.is_kept:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        if self._socket:
            return (await loop.create_unix_connection(_Connection, self._socket))[1]
        made = await loop.create_connection(_Connection, self._host, self._port, ssl=self._tls)
        return made[1]


class _Connection(asyncio.Protocol):
    """One question at a time."""

    def __init__(self) -> None:
        self.is_kept = True
        """Whether the server goes on listening on it."""
        self.has_heard = False
        """Whether any of the answer to the last question has come."""
        self._answer: asyncio.Future[Answer] | None = None
        self._pieces: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    async def ask(self, question: bytes) -> Answer:
        """Raises OSError."""
        if self._transport.is_closing():
            self.has_heard = False
            raise ConnectionResetError("closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._pieces = []
        self.has_heard = False
        self._transport.write(question)
        return await self._answer

    def close(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # nobody has asked for this
            return
        self.has_heard = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionError(f"it does not speak HTTP: {type(error).__name__}"))

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._pieces = []  # a message before the answer
        elif self._answer is not None and not self._answer.done():
            self.is_kept = self._parser.should_keep_alive()
            self._answer.set_result(Answer(status, b"".join(self._pieces)))

    def connection_lost(self, error: Exception | None) -> None:
        self.is_kept = False
        self._fail(error if isinstance(error, OSError) else ConnectionResetError("closed"))

    def _fail(self, error: OSError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
