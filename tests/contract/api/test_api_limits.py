"""Limits of one request: beyond them it is refused, with the limit in the message."""

import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.contract.api.client import Api, assert_error
from tests.support.sidecar import RunningSidecar

UNKNOWN = "jan_01hqr8v9k2x3f4g5h6j7k8m9n0"
JSON = {"Content-Type": "application/json"}


def exchange(url: str, sent: Iterator[bytes] | list[bytes]) -> bytes:
    """What the listener at ``url`` answers to raw bytes, until it closes the connection."""
    to = urlsplit(url)
    answer = b""
    with socket.create_connection((to.hostname, to.port), timeout=20) as connection:
        try:
            for piece in sent:
                connection.sendall(piece)
            while received := connection.recv(65536):
                answer += received
        except ConnectionError:
            pass  # it has refused before all was sent
    return answer


HEADS = {
    "one long header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\n" + b"A: b\r\n" * 1200 + b"\r\n",
    "much in many headers": b"GET /healthz HTTP/1.1\r\n" + (b"A: " + b"b" * 600 + b"\r\n") * 120,
    "a long path": b"GET /" + b"a" * 65_530 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("kind", HEADS)
def test_headers_over_the_limit_are_431_on_both_listeners(
    sidecar: RunningSidecar, kind: str
) -> None:
    for listener in (sidecar.public_url, sidecar.internal_url):
        head, _, body = exchange(listener, [HEADS[kind]]).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 431 "), head
        error = json.loads(body)["error"]
        assert error["code"] == "headers_too_large"
        assert "limit of 1100 lines" in error["message"] or "65536 bytes" in error["message"]


def test_a_header_without_an_end_is_not_kept(sidecar: RunningSidecar) -> None:
    def endless() -> Iterator[bytes]:
        yield b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: "
        for _ in range(2000):
            yield b"a" * 16_384

    assert exchange(sidecar.public_url, endless())[:13] in (b"HTTP/1.1 431 ", b"")


def test_as_many_headers_as_the_gateway_may_send_are_taken(sidecar: RunningSidecar) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"v" * 50) for number in range(900))
    sent = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + lines + b"\r\n"
    assert exchange(sidecar.public_url, [sent]).startswith(b"HTTP/1.1 200 ")


def test_a_later_request_of_a_connection_has_the_whole_limit_again(sidecar: RunningSidecar) -> None:
    one = b"POST /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 40_000
    one += b"\r\nContent-Length: 100000\r\n%s\r\n" + b"b" * 100_000
    sent = [one % b"", one % b"Connection: close\r\n"]
    assert exchange(sidecar.public_url, sent).count(b"HTTP/1.1 405 ") == 2


@pytest.mark.parametrize("opening", [b'{"payload":' + b"[" * 201, b"[" * 30_000, b'{"a":' * 5_000])
def test_json_beyond_a_depth_is_400(api: Api, opening: bytes) -> None:
    closing = b"]" * 201 + b"}"
    response = api.http.post("/v1/media/resolve", content=opening + closing, headers=JSON)
    assert "200 levels" in assert_error(response, 400, "invalid_json")["message"]


def test_json_of_just_the_depth_is_looked_through(api: Api) -> None:
    payload: object = UNKNOWN
    for _ in range(199):
        payload = [payload]
    response = api.post("/v1/media/resolve", {"payload": payload})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (404, "media_not_found")
    assert ("payload" + "[0]" * 199).endswith(error["param"])


@pytest.mark.parametrize("value", [b"0", b"{}", b"[]", b'""'])
def test_json_of_too_many_values_is_400_at_once(api: Api, value: bytes) -> None:
    body = b'{"payload":[' + (value + b",") * 4_000_000 + b"0]}"
    response = api.http.post("/v1/media/resolve", content=body, headers=JSON)
    assert "100000 values" in assert_error(response, 400, "invalid_json")["message"]
    assert response.elapsed.total_seconds() < 3


def test_a_long_key_with_much_below_it_costs_no_memory(api: Api, sidecar: RunningSidecar) -> None:
    def resident() -> int:
        with open(f"/proc/{sidecar.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * 4096

    before = resident()
    body = {"payload": {"k" * 1_000_000: [UNKNOWN.upper()] * 5_000}}
    response = api.post("/v1/media/resolve", body)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (404, "media_not_found")
    assert len(error["param"]) < 2_000
    assert resident() - before < 100_000_000  # every way spelled out would be five gigabytes


def test_text_that_utf8_cannot_carry_is_refused_in_the_error_shape(api: Api) -> None:
    key = b'{"payload": {"\\ud800": "' + UNKNOWN.encode() + b'"}}'
    response = api.http.post("/v1/media/resolve", content=key, headers=JSON)
    assert_error(response, 404, "media_not_found", "payload.?")


@pytest.mark.parametrize("name", ["\\ud800", "a\\u0000b", "a\\nb", "n" * 257, "\N{CAT}" * 256])
def test_a_user_id_that_no_catalog_can_keep_is_400(api: Api, name: str) -> None:
    body = f'{{"content_type": "image/png", "user_id": "{name}"}}'.encode()
    response = api.http.post("/v1/media/prepare-upload", content=body, headers=JSON)
    assert_error(response, 400, "invalid_field", "user_id")


def test_a_user_id_in_the_query_is_held_to_the_same(api: Api) -> None:
    assert_error(api.http.get("/v1/media?user_id=%00"), 400, "invalid_field", "user_id")


def test_many_ids_in_one_question_of_the_plugin_are_refused(api: Api) -> None:
    status, answer = api.ask("/internal/resolve", {"names": [UNKNOWN] * 1001})
    assert (status, answer["error"]["param"]) == (400, "names")
    assert "1000" in answer["error"]["message"]


def test_a_question_of_the_plugin_without_a_length_is_bounded_too(api: Api) -> None:
    response = api.internal.post(
        "/internal/resolve",
        content=(b"\x00" * 65536 for _ in range(64)),
        headers={"Content-Type": "application/msgpack"},
    )
    assert_error(response, 413, "max_size_exceeded")
