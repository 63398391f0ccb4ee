"""The plugin's HTTP client, against servers that answer as they please."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from jan_media_plugin.resolve.http import HttpServer

T = TypeVar("T")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Scripted:
    """A server that does with the n-th question what ``steps`` say; each may end its connection."""

    def __init__(self, *steps: bytes | None) -> None:
        self.steps = list(steps)
        self.heads: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while self.steps:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
            self.heads.append(head)
            step = self.steps.pop(0)
            if step is None:
                break
            writer.write(step)
        writer.close()


def asked(server: Scripted, ask: Callable[[HttpServer], Awaitable[T]], path: str = "") -> T:
    """Run ``ask`` with a client of ``server``."""

    async def run() -> T:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        try:
            url = f"http://127.0.0.1:{port}{path}"
            return await ask(HttpServer(url, {"X-Secret": "s"}, connections=2))
        finally:
            listening.close()  # not awaited: the client keeps its connections

    return asyncio.run(run())


async def twice(client: HttpServer) -> list[bytes]:
    return [(await client.post("/ask", b"question")).body for _ in range(2)]


def test_a_connection_is_kept_for_the_next_question() -> None:
    server = Scripted(OK, OK)
    assert asked(server, twice) == [b"hi", b"hi"]
    assert server.connections == 1


def test_a_connection_that_the_server_ends_is_not_kept() -> None:
    server = Scripted(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1), OK)
    assert asked(server, twice) == [b"hi", b"hi"]
    assert server.connections == 2


def test_a_question_on_a_kept_connection_that_was_closed_is_asked_again() -> None:
    server = Scripted(OK, None, OK)
    assert asked(server, twice) == [b"hi", b"hi"]
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,
    ],
)
def test_an_answer_may_come_in_chunks_and_after_hints(answer: bytes) -> None:
    assert asked(Scripted(answer, answer), twice) == [b"hi", b"hi"]


@pytest.mark.parametrize("answer", [None, b"", OK[:-1], b"SMTP\r\n\r\n"])
def test_what_is_no_whole_answer_is_an_error(answer: bytes | None) -> None:
    async def ask(client: HttpServer) -> bytes:
        return (await client.post("/ask", b"")).body

    with pytest.raises(OSError, match=r".+"):
        asked(Scripted(answer), ask)


def test_a_question_carries_path_host_and_headers() -> None:
    server = Scripted(OK, OK)
    asked(server, twice, path="/below/this")
    line, *lines = server.heads[0].split(b"\r\n")
    assert line == b"POST /below/this/ask HTTP/1.1"
    assert b"X-Secret: s" in lines
    assert [each for each in lines if each.startswith(b"Host: 127.0.0.1:")] != []


def test_whoever_stops_waiting_leaves_no_answer_to_the_next() -> None:
    async def impatient(client: HttpServer) -> bytes:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.post("/slow", b"")
        return (await client.post("/ask", b"")).body

    late = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
    assert asked(Scripted(late, OK), impatient) == b"hi"


def test_no_more_connections_than_allowed_are_open() -> None:
    async def many(client: HttpServer) -> list[bytes]:
        answers = await asyncio.gather(*(client.post("/ask", b"") for _ in range(10)))
        return [answer.body for answer in answers]

    server = Scripted(*[OK] * 10)
    assert asked(server, many) == [b"hi"] * 10
    assert server.connections == 2


def test_it_speaks_over_a_unix_socket(tmp_path: Path) -> None:
    async def run() -> list[bytes]:
        path = tmp_path / "s"
        async with await asyncio.start_unix_server(Scripted(OK, OK).serve, path):
            return await twice(HttpServer(f"unix:{path}", {}, connections=1))

    assert asyncio.run(run()) == [b"hi", b"hi"]


def test_a_server_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r".+"):
        asyncio.run(twice(HttpServer(f"unix:{tmp_path}/none", {}, connections=1)))
