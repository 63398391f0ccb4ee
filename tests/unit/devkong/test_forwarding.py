"""What reaches the upstream, and what comes back, line by line."""

from pathlib import Path

import pytest

from tests.unit.devkong.raw_http import Peer, Upstream, answers, ask, connected, upstream
from tests.unit.devkong.running import running

CONFIG = """
_format_version: "3.0"
services:
  - name: up
    url: http://127.0.0.1:{port}/base
    routes:
      - {{name: stripped, paths: [/a]}}
      - {{name: kept, paths: [/keep], strip_path: false, preserve_host: true}}
"""


def test_kong_adds_its_headers_and_drops_what_the_client_sent_under_those_names(
    tmp_path: Path, echo: Upstream
) -> None:
    with running(tmp_path, CONFIG.format(port=echo.port)) as devkong:
        ask(
            devkong.port,
            "/a/b%20c//d?x=%ff&y",
            b"X-Forwarded-For: 1.2.3.4",
            b"X-Forwarded-Proto: https",
            b"X-Forwarded-Prefix: /evil",
            b"X-Real-IP: 1.2.3.4",
            b"X-Kong-Request-Id: mine",
            b"Via: 1.1 other",
            host=b"Gate.Test:8000",
        )
        port = devkong.port
    got = echo.last
    assert got.start == b"GET /base/b%20c/d?x=%ff&y HTTP/1.1"
    assert got.get_all(b"host") == [b"127.0.0.1:%d" % echo.port]
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


def test_preserve_host_and_an_unstripped_path(tmp_path: Path, echo: Upstream) -> None:
    with running(tmp_path, CONFIG.format(port=echo.port)) as devkong:
        ask(devkong.port, "/keep/x?", host=b"Gate.Test:8000")
    assert echo.last.start == b"GET /base/keep/x? HTTP/1.1"
    assert echo.last.get(b"host") == b"Gate.Test:8000"
    assert echo.last.get(b"x-forwarded-prefix") is None


def test_a_trusted_proxy_is_believed(tmp_path: Path, echo: Upstream) -> None:
    trusted = {"KONG_TRUSTED_IPS": "127.0.0.0/8"}
    with running(tmp_path, CONFIG.format(port=echo.port), trusted) as devkong:
        ask(
            devkong.port,
            "/a",
            b"X-Forwarded-For: 1.2.3.4",
            b"X-Forwarded-Proto: https",
            b"X-Forwarded-Prefix: /outer",
            b"X-Real-IP: 5.6.7.8",
        )
    assert echo.last.get(b"x-forwarded-proto") == b"https"
    assert echo.last.get(b"x-forwarded-prefix") == b"/outer"
    assert echo.last.get(b"x-real-ip") == b"5.6.7.8"


def test_hop_by_hop_headers_stay_here_also_those_that_connection_names(
    tmp_path: Path, echo: Upstream
) -> None:
    with running(tmp_path, CONFIG.format(port=echo.port)) as devkong:
        ask(
            devkong.port,
            "/a",
            b"Connection: x-private, keep-alive",
            b"X-Private: 1",
            b"Keep-Alive: timeout=5",
            b"Proxy-Connection: close",
            b"Proxy: evil",
            b"TE: gzip, trailers",
            b"Upgrade: h2c",
        )
    names = {name for name, _ in echo.last.headers}
    assert names.isdisjoint(
        {b"x-private", b"keep-alive", b"proxy-connection", b"proxy", b"upgrade"}
    )
    assert echo.last.get(b"te") == b"trailers"


def test_any_bytes_order_spelling_and_duplicates_pass_both_ways(tmp_path: Path) -> None:
    response = (
        b"HTTP/1.1 200 Fine\r\nX-B: \xff\xfe\r\nx-a: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
        b"Server: mine\r\nContent-Length: 0\r\n\r\n"
    )
    with (
        upstream(answers(response)) as served,
        running(tmp_path, CONFIG.format(port=served.port)) as devkong,
    ):
        got = ask(
            devkong.port, b"/a?q=%ff\\", b"X-B: \xff\xfe", b"x_under: 1", b"X-Empty:", b"x-b: 2"
        )
    sent = [(n, v) for n, v in served.last.headers if n.startswith((b"x-b", b"x_", b"x-e"))]
    assert sent == [(b"x-b", b"\xff\xfe"), (b"x_under", b"1"), (b"x-empty", b""), (b"x-b", b"2")]
    assert served.last.start == b"GET /base?q=%ff\\ HTTP/1.1"
    assert got.start == b"HTTP/1.1 200 Fine"
    assert got.get(b"x-b") == b"\xff\xfe"
    assert got.get_all(b"set-cookie") == [b"a", b"b"]
    assert got.get_all(b"server") == [b"mine"]


def test_a_proxied_answer_carries_kongs_headers(tmp_path: Path, echo: Upstream) -> None:
    with running(tmp_path, CONFIG.format(port=echo.port)) as devkong:
        got = ask(devkong.port, "/a")
    assert got.body == b"hi"
    assert got.get(b"server") == b"kong/3.9.1"
    assert got.get(b"via") == b"1.1 kong/3.9.1"
    assert got.get(b"x-kong-request-id") == echo.last.get(b"x-kong-request-id")
    for name in (b"x-kong-upstream-latency", b"x-kong-proxy-latency"):
        assert (got.get(name) or b"").isdigit()
    assert got.get(b"date")


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_head_gets_the_head_alone_and_the_connection_goes_on(
    tmp_path: Path, response: bytes
) -> None:
    with (
        upstream(answers(response)) as served,
        running(tmp_path, CONFIG.format(port=served.port)) as devkong,
        connected(devkong.port) as client,
    ):
        for _ in range(2):
            client.send(b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.read(head_only=True).status == 200


def test_1xx_answers_are_swallowed_and_204_has_no_body(tmp_path: Path) -> None:
    response = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
    with (
        upstream(answers(response)) as served,
        running(tmp_path, CONFIG.format(port=served.port)) as devkong,
    ):
        got = ask(devkong.port, "/a")
    assert got.status == 204
    assert got.get(b"content-length") is None
    assert got.get(b"transfer-encoding") is None


def test_pipelined_requests_are_answered_in_order(tmp_path: Path, echo: Upstream) -> None:
    with (
        running(tmp_path, CONFIG.format(port=echo.port)) as devkong,
        connected(devkong.port) as client,
    ):
        client.send(
            b"POST /a/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
            b"GET /a/2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        assert client.read().get(b"connection") == b"keep-alive"
        assert client.read().get(b"connection") == b"close"
        assert client.closed()
    assert [r.start.split()[1] for r in echo.requests] == [b"/base/1", b"/base/2"]
    assert echo.requests[0].body == b"abc"


def test_http_1_0_clients_get_an_unframed_body_and_a_closed_connection(tmp_path: Path) -> None:
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    with (
        upstream(answers(response)) as served,
        running(tmp_path, CONFIG.format(port=served.port)) as devkong,
        connected(devkong.port) as client,
    ):
        client.send(b"GET /a HTTP/1.0\r\n\r\n")
        assert client.read_head().get(b"transfer-encoding") is None
        assert client.exactly(3) == b"abc"
        assert client.closed()


def test_an_upstream_that_ends_its_body_by_closing_is_passed_on_whole(tmp_path: Path) -> None:
    def closing(peer: Peer, served: Upstream) -> None:
        served.requests.append(peer.read())
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    with (
        upstream(closing) as served,
        running(tmp_path, CONFIG.format(port=served.port)) as devkong,
    ):
        assert ask(devkong.port, "/a").body == b"all of it"
