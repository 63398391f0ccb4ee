"""What reaches the upstream, and what comes back, line by line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kong.gateway import config, route, running
from tests.support.raw_http import Peer, Upstream, answers, ask, connected


@pytest.fixture(scope="module")
def port(folder: Path, served: Upstream) -> Iterator[int]:
    """A gateway with a route whose path is stripped, and one whose is kept."""
    kept = route("keep", strip_path=False, preserve_host=True)
    document = config(served.port, route("a"), kept)
    document["services"][0]["url"] += "/base"
    with running(folder, document) as port:
        yield port


def test_kong_adds_its_headers_and_drops_what_the_client_sent_under_those_names(
    port: int, up: Upstream
) -> None:
    ask(
        port,
        "/a/b%20c//d?x=%ff&y",
        b"X-Forwarded-For: 1.2.3.4",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Prefix: /evil",
        b"X-Real-IP: 1.2.3.4",
        b"X-Kong-Request-Id: mine",
        b"Via: 1.1 other",
        host=b"Gate.Test:8000",
    )
    got = up.last
    assert got.start == b"GET /base/b%20c/d?x=%ff&y HTTP/1.1"
    assert got.get_all(b"host") == [b"127.0.0.1:%d" % up.port]
    assert got.get_all(b"x-forwarded-for") == [b"1.2.3.4, 127.0.0.1"]
    assert got.get_all(b"x-forwarded-proto") == [b"http"]
    assert got.get_all(b"x-forwarded-host") == [b"gate.test"]
    assert got.get_all(b"x-forwarded-port") == [b"%d" % port]
    assert got.get_all(b"x-forwarded-path") == [b"/a/b%20c//d"]
    assert got.get_all(b"x-forwarded-prefix") == [b"/a"]
    assert got.get_all(b"x-real-ip") == [b"127.0.0.1"]
    assert got.get_all(b"via") == [b"1.1 other, 1.1 kong/3.9.1"]
    assert got.get_all(b"connection") == [b"keep-alive"]
    assert len(got.get(b"x-kong-request-id") or b"") == 32


def test_preserve_host_and_an_unstripped_path(port: int, up: Upstream) -> None:
    ask(port, "/keep/x?", host=b"Gate.Test:8000")
    assert up.last.start == b"GET /base/keep/x? HTTP/1.1"
    assert up.last.get(b"host") == b"Gate.Test:8000"
    assert up.last.get(b"x-forwarded-prefix") is None


def test_hop_by_hop_headers_stay_here_also_those_that_connection_names(
    port: int, up: Upstream
) -> None:
    ask(
        port,
        "/a",
        b"Connection: x-private, keep-alive",
        b"X-Private: 1",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: close",
        b"Proxy: evil",
        b"TE: gzip, trailers",
        b"Upgrade: h2c",
    )
    names = {name for name, _ in up.last.headers}
    assert names.isdisjoint(
        {b"x-private", b"keep-alive", b"proxy-connection", b"proxy", b"upgrade"}
    )
    assert up.last.get(b"te") == b"trailers"


def test_any_bytes_order_spelling_and_duplicates_pass_both_ways(port: int, up: Upstream) -> None:
    response = (
        b"HTTP/1.1 200 Fine\r\nX-B: \xff\xfe\r\nx-a: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
        b"Server: mine\r\nContent-Length: 0\r\n\r\n"
    )
    up.behave = answers(response)
    got = ask(port, b"/a?q=%ff\\", b"X-B: \xff\xfe", b"x_under: 1", b"X-Empty:", b"x-b: 2")
    sent = [(n, v) for n, v in up.last.headers if n.startswith((b"x-b", b"x_", b"x-e"))]
    assert sent == [(b"x-b", b"\xff\xfe"), (b"x_under", b"1"), (b"x-empty", b""), (b"x-b", b"2")]
    assert up.last.start == b"GET /base?q=%ff\\ HTTP/1.1"
    assert got.start == b"HTTP/1.1 200 Fine"
    assert got.get(b"x-b") == b"\xff\xfe"
    assert got.get_all(b"set-cookie") == [b"a", b"b"]
    assert got.get_all(b"server") == [b"mine"]


def test_a_proxied_answer_carries_kongs_headers(port: int, up: Upstream) -> None:
    got = ask(port, "/a")
    assert got.body == b"hi"
    assert got.get(b"x-kong-request-id") == up.last.get(b"x-kong-request-id")
    for name in (b"x-kong-upstream-latency", b"x-kong-proxy-latency"):
        assert (got.get(name) or b"").isdigit()


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_head_gets_the_head_alone_and_the_connection_goes_on(
    port: int, up: Upstream, response: bytes
) -> None:
    up.behave = answers(response)
    with connected(port) as client:
        for _ in range(2):
            client.send(b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.read(head_only=True).status == 200


def test_a_204_has_no_body(port: int, up: Upstream) -> None:
    up.behave = answers(b"HTTP/1.1 204 No Content\r\n\r\n")
    got = ask(port, "/a")
    assert got.status == 204
    assert got.get(b"content-length") is None
    assert got.get(b"transfer-encoding") is None


def test_pipelined_requests_are_answered_in_order(port: int, up: Upstream) -> None:
    with connected(port) as client:
        client.send(
            b"POST /a/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
            b"GET /a/2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        assert client.read().get(b"connection") == b"keep-alive"
        assert client.read().get(b"connection") == b"close"
        assert client.closed()
    assert [r.start.split()[1] for r in up.requests] == [b"/base/1", b"/base/2"]
    assert up.requests[0].body == b"abc"


def test_http_1_0_clients_get_an_unframed_body_and_a_closed_connection(
    port: int, up: Upstream
) -> None:
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    up.behave = answers(response)
    with connected(port) as client:
        client.send(b"GET /a HTTP/1.0\r\n\r\n")
        assert client.read_head().get(b"transfer-encoding") is None
        assert client.exactly(3) == b"abc"
        assert client.closed()


def test_an_upstream_that_ends_its_body_by_closing_is_passed_on_whole(
    port: int, up: Upstream
) -> None:
    def closing(peer: Peer, _: Upstream) -> None:
        up.requests.append(peer.read())
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    up.behave = closing
    assert ask(port, "/a").body == b"all of it"
