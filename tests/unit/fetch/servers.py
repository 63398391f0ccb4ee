"""Real servers on loopback that answer with whatever bytes a test wants, and names for them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from jan_media.errors import Refused

Handler = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """A running server and the requests that reached it, heads as they came."""

    port: int = 0
    requests: list[str] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Run a server that reads a request's head, calls ``handler`` with its path, and closes."""
    server = Server()
    tasks: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        server.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            server.requests.append(head)
            await handler(head.split(" ")[1], writer)
            await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        for task in tasks:
            task.cancel()
        listener.close()


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole response with a true Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def answering(*parts: bytes) -> Handler:
    """A handler that writes ``parts`` whatever the path."""

    async def handler(path: str, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return handler


class Names:
    """A name server: each name stands for a list of answers, the last of which is repeated."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self._answers = {name.replace("_", "."): list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        answers = self._answers.get(host)
        if answers is None:
            if host.replace(".", "").isdigit() or ":" in host:
                return [host]
            raise OSError("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]


def refused_as(code: str, match: str | None = None) -> "pytest.RaisesExc[Refused]":
    """Expects that what happens inside is refused with ``code``."""
    return pytest.raises(Refused, match=match, check=lambda error: error.code == code)
