"""Kong's own errors: which status, which body, in which form."""

import json
import socket
import threading
from pathlib import Path

import pytest
from devkong.error_page import ErrorPages

from tests.unit.devkong.raw_http import Peer, Upstream, ask, connected, upstream
from tests.unit.devkong.running import running

CONFIG = """
_format_version: "3.0"
services:
  - name: up
    url: http://127.0.0.1:{port}
    read_timeout: 100
    retries: {retries}
    routes:
      - {{name: a, paths: [/a]}}
      - {{name: secure, paths: [/secure], protocols: [https]}}
routes:
  - {{name: nowhere, paths: [/nowhere]}}
"""


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_no_route(tmp_path: Path, echo: Upstream) -> None:
    with running(tmp_path, CONFIG.format(port=echo.port, retries=0)) as devkong:
        got = ask(devkong.port, "/none")
    assert got.status == 404
    assert got.get(b"content-type") == b"application/json; charset=utf-8"
    assert json.loads(got.body) == {
        "message": "no Route matched with those values",
        "request_id": (got.get(b"x-kong-request-id") or b"").decode(),
    }
    assert (got.get(b"x-kong-response-latency") or b"").isdigit()
    assert got.get(b"server") == b"kong/3.9.1"


def test_a_route_without_a_service(tmp_path: Path, echo: Upstream) -> None:
    with running(tmp_path, CONFIG.format(port=echo.port, retries=0)) as devkong:
        got = ask(devkong.port, "/nowhere")
    assert got.status == 503
    assert json.loads(got.body)["message"] == "no Service found with those values"


def test_plain_http_on_an_https_route(tmp_path: Path, echo: Upstream) -> None:
    with running(tmp_path, CONFIG.format(port=echo.port, retries=0)) as devkong:
        got = ask(devkong.port, "/secure")
    assert got.status == 426
    assert json.loads(got.body)["message"] == "Please use HTTPS protocol"


def test_an_upstream_that_refuses_the_connection(tmp_path: Path) -> None:
    with running(tmp_path, CONFIG.format(port=closed_port(), retries=1)) as devkong:
        got = ask(devkong.port, "/a", b"Accept: application/json")
        plain = ask(devkong.port, "/a")
    assert got.status == 502
    message = "An invalid response was received from the upstream server"
    assert json.loads(got.body)["message"] == message
    # without Accept and Content-Type, nginx's errors are plain text
    assert plain.get(b"content-type") == b"text/plain; charset=utf-8"
    assert plain.body.startswith(message.encode() + b"\nrequest_id: ")


def test_nginx_errors_to_clients_that_accept_nothing_have_the_operators_type(
    tmp_path: Path,
) -> None:
    with running(
        tmp_path,
        CONFIG.format(port=closed_port(), retries=0),
        {"KONG_ERROR_DEFAULT_TYPE": "application/json"},
    ) as devkong:
        assert json.loads(ask(devkong.port, "/a").body)["message"]


def test_an_upstream_that_is_too_slow(tmp_path: Path) -> None:
    released = threading.Event()

    def hang(peer: Peer, served: Upstream) -> None:
        served.requests.append(peer.read())
        released.wait(10)

    with (
        upstream(hang) as served,
        running(tmp_path, CONFIG.format(port=served.port, retries=1)) as devkong,
    ):
        got = ask(devkong.port, "/a", b"Accept: */*")
        assert len(served.requests) == 2
        ask(devkong.port, "/a", method=b"POST", body=b"x")
        assert len(served.requests) == 3
        released.set()
    assert got.status == 504
    assert json.loads(got.body)["message"] == "The upstream server is timing out"


@pytest.mark.parametrize("response", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nbad\r\n\r\n", b""])
def test_an_upstream_that_does_not_speak_http(tmp_path: Path, response: bytes) -> None:
    def speak(peer: Peer, _served: Upstream) -> None:
        peer.read()
        peer.send(response)

    with (
        upstream(speak) as served,
        running(tmp_path, CONFIG.format(port=served.port, retries=0)) as devkong,
    ):
        assert ask(devkong.port, "/a").status == 502


@pytest.mark.parametrize("target", [b"/%zz", b"/a/../../b", b"/%00"])
def test_a_target_that_nginx_refuses(tmp_path: Path, echo: Upstream, target: bytes) -> None:
    with running(tmp_path, CONFIG.format(port=echo.port, retries=0)) as devkong:
        got = ask(devkong.port, target)
    assert got.status == 400
    assert got.body.startswith(b"Bad request\n")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_bytes_that_are_no_request_are_answered_and_end_the_connection(
    tmp_path: Path, echo: Upstream, request_bytes: bytes, status: int
) -> None:
    with (
        running(tmp_path, CONFIG.format(port=echo.port, retries=0)) as devkong,
        connected(devkong.port) as client,
    ):
        client.send(request_bytes)
        assert client.read().status == status
        assert client.closed()
    assert echo.requests == []


LINE = b"X: " + b"a" * 9000 + b"\r\n"
TARGET = b"/a" + b"a" * 9000


@pytest.mark.parametrize(
    ("buffers", "target", "lines", "status"),
    [
        ("4 32k", b"/a", LINE * 3, 200),
        ("4 32k", TARGET, LINE, 200),
        ("4 32k", b"/", LINE * 15, 400),
        ("3 9k", b"/a", LINE * 3, 200),
        ("2 9k", b"/", LINE * 3, 400),
        ("4 8k", TARGET, b"", 414),
    ],
)
def test_lines_and_heads_are_as_long_as_large_client_header_buffers_says(
    tmp_path: Path, echo: Upstream, buffers: str, target: bytes, lines: bytes, status: int
) -> None:
    limit = {"KONG_NGINX_HTTP_LARGE_CLIENT_HEADER_BUFFERS": buffers}
    with (
        running(tmp_path, CONFIG.format(port=echo.port, retries=0), limit) as devkong,
        connected(devkong.port) as client,
    ):
        client.send(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n")
        assert client.read().status == status


def test_a_body_over_client_max_body_size(tmp_path: Path, echo: Upstream) -> None:
    limit = {"KONG_NGINX_HTTP_CLIENT_MAX_BODY_SIZE": "1k"}
    with running(tmp_path, CONFIG.format(port=echo.port, retries=0), limit) as devkong:
        assert ask(devkong.port, "/a", method=b"POST", body=b"x" * 1025).status == 413
        assert ask(devkong.port, "/a", method=b"POST", body=b"x" * 1024).status == 200
        with connected(devkong.port) as client:
            client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            client.send(b"800\r\n" + b"x" * 2048 + b"\r\n0\r\n\r\n")
            assert client.read().status == 413


def test_an_operators_template_words_json_errors(tmp_path: Path, echo: Upstream) -> None:
    template = tmp_path / "error.json"
    template.write_text('{"error":{"message":"%s","param":"%s 100%%"}}')
    with running(
        tmp_path,
        CONFIG.format(port=echo.port, retries=0),
        {"KONG_ERROR_TEMPLATE_JSON": str(template)},
    ) as devkong:
        got = ask(devkong.port, "/none")
    error = json.loads(got.body)["error"]
    assert error["message"] == "no Route matched with those values"
    assert error["param"].endswith(" 100%")


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, b"application/json; charset=utf-8"),
        (b"*/*", b"application/json; charset=utf-8"),
        (b"text/html,application/xml;q=0.9", b"text/html; charset=utf-8"),
        (b"text/html;q=0.5, application/xml", b"application/xml; charset=utf-8"),
        (b"text/*", b"text/plain; charset=utf-8"),
        (b"image/png", b"application/json; charset=utf-8"),
        (b"garbage", b"application/json; charset=utf-8"),
    ],
)
def test_the_form_follows_accept(accept: bytes | None, content_type: bytes) -> None:
    kind, body = ErrorPages({}).page(accept, b"No", "0" * 32)
    assert kind == content_type
    assert b"No" in body
    assert b"0" * 32 in body
