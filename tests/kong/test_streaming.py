"""Bytes pass through as they arrive, in both directions, unless Kong would buffer them."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kong.gateway import config, route, running
from tests.support.raw_http import Peer, Upstream, ask, connected


@pytest.fixture(scope="module")
def port(folder: Path, served: Upstream) -> Iterator[int]:
    """A gateway with a route that stores request bodies, and one that does not."""
    streamed = route("streamed", request_buffering=False)
    document = config(served.port, route("spooled"), streamed, read_timeout=5000)
    with running(folder, document) as port:
        yield port


def test_an_event_reaches_the_client_before_the_upstream_has_ended(port: int, up: Upstream) -> None:
    client_has_it = threading.Event()

    def events(peer: Peer, _: Upstream) -> None:
        peer.read()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        peer.send(b"Transfer-Encoding: chunked\r\n\r\n")
        peer.send(b"9\r\ndata: 1\n\n\r\n")
        assert client_has_it.wait(5)
        peer.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    up.behave = events
    with connected(port) as client:
        client.send(b"GET /spooled HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.read_head().status == 200
        assert client.read_chunk() == b"data: 1\n\n"
        client_has_it.set()
        assert client.read_chunk() == b"data: 2\n\n"
        assert client.read_chunk() == b""


def test_an_upload_reaches_the_upstream_before_the_client_has_ended_if_not_buffered(
    port: int, up: Upstream
) -> None:
    first_part_is_here = threading.Event()

    def receive(peer: Peer, _: Upstream) -> None:
        head = peer.read_head()
        first = peer.exactly(5)
        first_part_is_here.set()
        up.requests.append(head._replace(body=first + peer.exactly(5)))
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    up.behave = receive
    with connected(port) as client:
        client.send(b"POST /streamed HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        assert first_part_is_here.wait(5)
        client.send(b"67890")
        assert client.read().body == b"ok"
    assert up.last.body == b"1234567890"
    assert up.last.get(b"content-length") == b"10"


def test_a_chunked_upload_stays_chunked_if_not_buffered(port: int, up: Upstream) -> None:
    first_part_is_here = threading.Event()

    def receive(peer: Peer, _: Upstream) -> None:
        head = peer.read_head()
        first = peer.read_chunk()
        first_part_is_here.set()
        up.requests.append(head._replace(body=first + peer.read_chunk()))
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    up.behave = receive
    with connected(port) as client:
        client.send(b"POST /streamed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"5\r\nhello\r\n")
        assert first_part_is_here.wait(5)
        client.send(b"3\r\nyou\r\n0\r\n\r\n")
        assert client.read().status == 200
    assert up.last.get(b"transfer-encoding") == b"chunked"
    assert up.last.body == b"helloyou"


def test_a_buffered_upload_is_held_until_it_is_whole_and_gets_a_length(
    port: int, up: Upstream
) -> None:
    with connected(port) as client:
        client.send(b"POST /spooled HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"5\r\nhello\r\n")
        # a second request on another connection is through before this one has begun upstream
        assert ask(port, "/spooled/other").status == 200
        assert [r.start.split()[1] for r in up.requests] == [b"/other"]
        client.send(b"0\r\n\r\n")
        assert client.read().status == 200
    assert up.last.get(b"content-length") == b"5"
    assert up.last.get(b"transfer-encoding") is None


def test_a_large_body_passes_unchanged(port: int, up: Upstream) -> None:
    body = bytes(range(256)) * 20_000
    for path in ("/spooled", "/streamed"):
        assert ask(port, path, method=b"PUT", body=body).status == 200
        assert up.last.body == body


def test_the_client_is_asked_to_go_on_when_its_body_is_wanted(port: int, up: Upstream) -> None:
    with connected(port) as client:
        client.send(
            b"POST /spooled HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Content-Length: 2\r\n\r\n"
        )
        assert client.read_head().status == 100
        client.send(b"ok")
        assert client.read().status == 200
    assert up.last.get(b"expect") is None


def test_an_answer_that_comes_before_the_upload_has_ended_is_passed_on(
    port: int, up: Upstream
) -> None:
    def refuse(peer: Peer, _: Upstream) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")

    up.behave = refuse
    with connected(port) as client:
        client.send(b"POST /streamed HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        client.send(b"x" * 1000)
        got = client.read()
        assert (got.status, got.body) == (413, b"big")


def test_a_client_that_leaves_takes_its_upstream_connection_along(port: int, up: Upstream) -> None:
    upstream_saw_the_end = threading.Event()

    def wait_for_end(peer: Peer, _: Upstream) -> None:
        up.requests.append(peer.read())
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        if peer.closed():
            upstream_saw_the_end.set()

    up.behave = wait_for_end
    with connected(port) as client:
        client.send(b"GET /spooled HTTP/1.1\r\nHost: x\r\n\r\n")
        client.read_head()
    assert upstream_saw_the_end.wait(5)


def test_an_answer_that_is_cut_off_is_not_passed_on_as_a_whole_one(port: int, up: Upstream) -> None:
    def cut_off(peer: Peer, _: Upstream) -> None:
        peer.read()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")

    up.behave = cut_off
    with connected(port) as client:
        client.send(b"GET /spooled HTTP/1.1\r\nHost: x\r\n\r\n")
        client.read_head()
        assert client.read_chunk() == b"abc"
        assert client.closed()
