"""Errors that Kong and nginx make: their status, body and format."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kong.gateway import config, route, running
from tests.support.raw_http import Peer, Upstream, ask, connected

NOWHERE = {"name": "nowhere", "paths": ["/nowhere"]}
CLOSED = {"name": "closed", "url": "http://127.0.0.1:9", "retries": 1}
SETTINGS = {
    "KONG_NGINX_HTTP_CLIENT_MAX_BODY_SIZE": "1k",
    "KONG_NGINX_HTTP_LARGE_CLIENT_HEADER_BUFFERS": "4 32k",
}


@pytest.fixture(scope="module")
def port(folder: Path, served: Upstream) -> Iterator[int]:
    """A gateway with an impatient route, one to a closed port, and one that leads nowhere."""
    document = config(served.port, route("a"), read_timeout=100, retries=1)
    document["services"].append({**CLOSED, "routes": [route("closed")]})
    document["routes"] = [NOWHERE]
    with running(folder, document, SETTINGS) as port:
        yield port


@pytest.fixture(scope="module")
def worded(tmp_path_factory: pytest.TempPathFactory, served: Upstream) -> Iterator[int]:
    """A gateway whose operator words JSON errors, and prefers them; it takes less of a head."""
    folder = tmp_path_factory.mktemp("worded")
    template = folder / "error.json"
    template.write_text('{"error":{"message":"%s","param":"%s 100%%"}}')
    settings = {
        "KONG_ERROR_TEMPLATE_JSON": str(template),
        "KONG_ERROR_DEFAULT_TYPE": "application/json",
        "KONG_NGINX_HTTP_LARGE_CLIENT_HEADER_BUFFERS": "2 9k",
    }
    document = config(served.port, route("a"))
    document["services"].append({**CLOSED, "routes": [route("closed")]})
    with running(folder, document, settings) as port:
        yield port


def test_no_route(port: int) -> None:
    got = ask(port, "/none")
    assert got.status == 404
    assert got.get(b"content-type") == b"application/json; charset=utf-8"
    assert json.loads(got.body) == {
        "message": "no Route matched with those values",
        "request_id": (got.get(b"x-kong-request-id") or b"").decode(),
    }
    assert (got.get(b"x-kong-response-latency") or b"").isdigit()


def test_a_route_without_a_service(port: int) -> None:
    got = ask(port, "/nowhere")
    assert got.status == 503
    assert json.loads(got.body)["message"] == "no Service found with those values"


def test_an_upstream_that_refuses_the_connection(port: int, worded: int) -> None:
    got = ask(port, "/closed", b"Accept: application/json")
    plain = ask(port, "/closed")
    assert got.status == 502
    message = "An invalid response was received from the upstream server"
    assert json.loads(got.body)["message"] == message
    # without Accept and Content-Type, nginx's errors are plain text
    assert plain.get(b"content-type") == b"text/plain; charset=utf-8"
    assert plain.body.startswith(message.encode() + b"\nrequest_id: ")
    assert json.loads(ask(worded, "/closed").body)["error"]["message"] == message


def test_an_upstream_that_is_too_slow(port: int, up: Upstream) -> None:
    released = threading.Event()

    def hang(peer: Peer, _: Upstream) -> None:
        up.requests.append(peer.read())
        released.wait(10)

    up.behave = hang
    got = ask(port, "/a", b"Accept: */*")
    assert len(up.requests) == 2
    ask(port, "/a", method=b"POST", body=b"x")
    assert len(up.requests) == 3
    released.set()
    assert got.status == 504
    assert json.loads(got.body)["message"] == "The upstream server is timing out"


def test_an_upstream_that_closes_before_it_answers(port: int, up: Upstream) -> None:
    def close(peer: Peer, _: Upstream) -> None:
        peer.read()

    up.behave = close
    assert ask(port, "/a").status == 502


@pytest.mark.parametrize("target", [b"/%zz", b"/a/../../b", b"/%00"])
def test_a_target_that_nginx_refuses(port: int, target: bytes) -> None:
    got = ask(port, target)
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
        (b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_bytes_that_are_no_request_are_answered_and_end_the_connection(
    port: int, up: Upstream, request_bytes: bytes, status: int
) -> None:
    with connected(port) as client:
        client.send(request_bytes)
        assert client.read().status == status
        assert client.closed()
    assert up.requests == []


LINE = b"X: " + b"a" * 9000 + b"\r\n"


def status_of_head(port: int, target: bytes, lines: bytes) -> int:
    with connected(port) as client:
        client.send(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n")
        return client.read().status


@pytest.mark.parametrize(
    ("target", "lines", "status"),
    [(b"/a", LINE * 3, 200), (b"/a" + b"a" * 9000, LINE, 200), (b"/", LINE * 15, 400)],
)
def test_heads_are_as_long_as_large_client_header_buffers_says(
    port: int, up: Upstream, target: bytes, lines: bytes, status: int
) -> None:
    assert status_of_head(port, target, lines) == status


@pytest.mark.parametrize(
    ("target", "lines", "status"), [(b"/", LINE * 3, 400), (b"/a" + b"a" * 9500, b"", 414)]
)
def test_and_no_longer(worded: int, target: bytes, lines: bytes, status: int) -> None:
    assert status_of_head(worded, target, lines) == status


def test_a_body_over_client_max_body_size(port: int, up: Upstream) -> None:
    assert ask(port, "/a", method=b"POST", body=b"x" * 1025).status == 413
    assert ask(port, "/a", method=b"POST", body=b"x" * 1024).status == 200
    with connected(port) as client:
        client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"800\r\n" + b"x" * 2048 + b"\r\n0\r\n\r\n")
        assert client.read().status == 413


def test_an_operators_template_words_json_errors(worded: int) -> None:
    error = json.loads(ask(worded, "/none").body)["error"]
    assert error["message"] == "no Route matched with those values"
    assert error["param"].endswith(" 100%")


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (b"*/*", b"application/json; charset=utf-8"),
        (b"text/html,application/xml;q=0.9", b"text/html; charset=utf-8"),
        (b"text/html;q=0.5, application/xml", b"application/xml; charset=utf-8"),
        (b"text/*", b"text/plain; charset=utf-8"),
        (b"image/png", b"application/json; charset=utf-8"),
        (b"garbage", b"application/json; charset=utf-8"),
    ],
)
def test_the_form_follows_accept(port: int, accept: bytes, content_type: bytes) -> None:
    got = ask(port, "/none", b"Accept: " + accept)
    assert got.get(b"content-type") == content_type
    assert b"no Route matched" in got.body
