"""Connections read no more than is asked for, with and without TLS, however they end."""

import asyncio
import os
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop
from jan_media.fetch.remote import RemoteFetcher

from tests.unit.fetch.certificates import certificate_for
from tests.unit.fetch.servers import Handler, answering, refused_as, response, serving
from tests.unit.fetch.test_remote import fetched, fetcher

MIB = 1024 * 1024
LARGE = 20_000_000


@contextmanager
def fast_server(answer: bytes, tls: ssl.SSLContext | None) -> Iterator[int]:
    """Gives one client ``answer`` as fast as it takes it, from a thread of its own."""

    def run() -> None:
        plain, _ = listener.accept()
        plain.settimeout(20)
        with tls.wrap_socket(plain, server_side=True) if tls else plain as connection:
            connection.recv(65536)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_server_cannot_make_a_fetch_hold_more_than_a_few_pieces(
    scheme: str, tmp_path: Path
) -> None:
    serving_side, authority = certificate_for("files.test", tmp_path)
    remote = fetcher(max_bytes=LARGE, authority=authority)
    received = 0

    async def sink(piece: bytes) -> None:
        nonlocal received
        received += len(piece)

    answer = response(bytes(LARGE))
    with fast_server(answer, serving_side if scheme == "https" else None) as port:
        tracemalloc.start()
        try:
            uvloop.run(remote.fetch(f"{scheme}://files.test:{port}/", sink))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert received == LARGE
    assert peak < 2 * MIB


def fetch_over_tls(handler: Handler, folder: Path, timeout: float = 10) -> bytes:
    serving_side, authority = certificate_for("files.test", folder)

    async def run() -> bytes:
        remote = fetcher(authority=authority, timeout=timeout)
        async with serving(handler, tls=serving_side) as server:
            return await fetched(remote, f"https://files.test:{server.port}/")

    return uvloop.run(run())


def test_content_arrives_unchanged_over_tls(tmp_path: Path) -> None:
    body = os.urandom(900_000)
    assert fetch_over_tls(answering(response(body)), tmp_path) == body
    assert fetch_over_tls(answering(b"HTTP/1.1 200 OK\r\n\r\n", body), tmp_path) == body


def test_content_in_records_of_a_byte_is_left(tmp_path: Path) -> None:
    async def flood(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()

    with refused_as("remote_fetch_failed", match="not content"):
        fetch_over_tls(flood, tmp_path, timeout=60)


def test_content_that_breaks_off_under_tls_is_a_failure(tmp_path: Path) -> None:
    with refused_as("remote_fetch_failed"):
        fetch_over_tls(answering(response(b"x" * 1000)[:-1]), tmp_path)


def test_silence_under_tls_is_a_timeout(tmp_path: Path) -> None:
    async def silence(path: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    with refused_as("remote_fetch_timeout"):
        fetch_over_tls(silence, tmp_path, timeout=0.3)


def https_from_plain_server(answer: Handler, remote: RemoteFetcher) -> bytes:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer("", writer)
        writer.close()

    async def run() -> bytes:
        listener = await asyncio.start_server(connected, "127.0.0.1", 0)
        async with listener:
            port = listener.sockets[0].getsockname()[1]
            return await fetched(remote, f"https://files.test:{port}/")

    return uvloop.run(run())


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x01"])
def test_a_server_that_does_not_speak_tls_is_a_failure(answer: bytes) -> None:
    with refused_as("remote_fetch_failed"):
        https_from_plain_server(answering(answer), fetcher())


def test_a_handshake_that_does_not_go_on_is_a_timeout() -> None:
    async def silence(path: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    with refused_as("remote_fetch_timeout"):
        https_from_plain_server(silence, fetcher(timeout=0.3))
