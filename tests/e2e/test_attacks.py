"""What an attacker tries at the gateway itself: paths, headers, sizes, too many requests."""

import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest

from demo.addresses import url
from demo.images import drawn
from demo.kong_settings import ROOT
from demo.stack import Stack
from tests.e2e.conftest import client_for, guest_token, start_stack
from tests.e2e.processes import plugin_servers
from tests.e2e.test_api_keys import keys, new_key

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
SHAPE = {"type", "code", "message", "param"}


def raw(base_url: str, request: bytes) -> tuple[int, bytes]:
    """The status and the rest of the answer to bytes that no HTTP library would send."""
    to = urlsplit(base_url)
    answer = b""
    with socket.create_connection((to.hostname, to.port), timeout=20) as connection:
        try:
            connection.sendall(request)
            while received := connection.recv(65536):
                answer += received
        except ConnectionError:
            pass  # it has refused before all was sent
    status = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert status, answer
    return int(status[1]), answer


def head(method: str, path: str, *headers: str) -> bytes:
    """A request without a body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: jan", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode()


def arrived(received: Callable[[], list[Any]], marker: str) -> bool:
    """Whether a request with this text in its body has reached the model."""
    return any(marker in json.dumps(each) for each in received())


# --- paths


@pytest.mark.parametrize("target", ["metrics", "internal/resolve", "internal/keys/verify"])
@pytest.mark.parametrize(
    "way",
    [
        *("/", "/media/", "/media/v1/", "/media/v1/media/", "/auth/", "/llm/auth/", "/v1/"),
        *("/media/v1/../", "/media/v1/%2e%2e/", "/media/v1/..%2f", "/media/v1/.%2e%2F"),
        *("/media/v1/..;/", "/media/v1/;/../", "/media/v1//../../", "//", "/media//"),
        *("/media/files/../", "/media/files/..%2f", "/media/files..%2f", "/media/files../"),
        *("/media/healthz/../", "/media/healthz/..%2f", "/media/healthz%2f..%2f"),
        *("/auth/../", "/auth/..%2f", "/auth/%2e%2e%2f", "/media/v1\\..\\", "/media/v1/%5c..%5c"),
        *("/media/v1/%252e%252e/", "/media/v1/..%00/", "/media/v1/..%c0%af", "/media/v1#/../"),
        *("http://127.0.0.1:8286/", "/media/v1/@127.0.0.1:8286/", "/media/v1?/../"),
    ],
)
def test_no_path_leads_to_an_internal_endpoint(
    gateway_url: str, token: str, way: str, target: str
) -> None:
    method = "GET" if target == "metrics" else "POST"
    request = head(method, way + target, f"Authorization: Bearer {token}", "Content-Length: 0")
    status, answer = raw(gateway_url, request)
    assert 400 <= status < 500, answer
    assert b"application/msgpack" not in answer
    assert b"jan_media_requests" not in answer


@pytest.mark.parametrize(
    "path",
    [
        *("/auth/../v1/models", "/auth/%2e%2e/v1/models", "/media/healthz/../../v1/models"),
        *("//v1/models", "/v1//models", "/v1/./models", "/%76%31/models", "/llm//v1/models"),
        *("/media/healthz/../v1/media", "/media/files/../v1/media", "/media//v1/media"),
        *("/media/v1/media;x=/media/healthz", "/v1/models?x=/media/healthz", "/v1/models#/auth/"),
        *("/media/files/..%2fv1%2fmedia", "/auth/..%2fv1%2fmedia", "/media/files/..;/v1/media"),
        *("/V1/models", "/v1%2fmodels", "/media/%76%31/media", "http://jan/v1/models"),
    ],
)
def test_a_path_that_looks_open_opens_nothing(gateway_url: str, path: str) -> None:
    status, answer = raw(gateway_url, head("GET", path, "X-Jan-User-Id: root"))
    assert status in (401, 403, 404), answer


# --- headers


@pytest.mark.parametrize("name", ["X-Jan-Issuer", "x-jan-user-id", "X-Jan-Gateway-Secret"])
def test_no_client_can_have_its_identity_headers_taken_away(
    gateway_url: str, token: str, received: Callable[[], list[Any]], name: str
) -> None:
    marker = f"marker-{time.time_ns()}"
    body = json.dumps(CHAT | {"user": marker})
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: jan",
        f"Authorization: Bearer {token}",
        f"Connection: close, {name}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    status, answer = raw(gateway_url, "\r\n".join([*lines, "", body]).encode())
    assert status == 400, answer
    assert set(json.loads(answer.partition(b"\r\n\r\n")[2])["error"]) == SHAPE
    assert not arrived(received, marker)


def test_a_tokens_subject_is_never_the_owner_of_an_api_key(own_stack: Stack) -> None:
    token = guest_token(own_stack.base_url)
    subject = jwt.decode(token, options={"verify_signature": False})["sub"]
    key = new_key(own_stack, owner=subject)
    with client_for(own_stack.base_url, key) as holder:
        mine = holder.post("/media/v1/media", files={"file": drawn("mine.png")}).json()["id"]
    status, answer = raw(
        own_stack.base_url,
        "\r\n".join(
            [
                f"DELETE /media/v1/media/{mine} HTTP/1.1",
                "Host: jan",
                f"Authorization: Bearer {token}",
                "Connection: close, X-Jan-Issuer",
                "",
                "",
            ]
        ).encode(),
    )
    assert status == 400, answer
    with client_for(own_stack.base_url, token) as guest:
        assert guest.delete(f"/media/v1/media/{mine}").status_code == 403
        assert guest.get("/media/v1/media").json()["media"] == []


@pytest.mark.parametrize(
    "name",
    [
        *("X-Consumer-ID", "X-Consumer-Username", "X-Consumer-Custom-ID", "X-Consumer-Groups"),
        *("X-Credential-Identifier", "X-Anonymous-Consumer", "X-Authenticated-Groups"),
        *("X-Authenticated-Userid", "X_Consumer_Username", "X-Jan-Roles", "X-Jan-Gateway-Secret"),
    ],
)
def test_headers_that_name_a_caller_never_reach_the_model(
    guest: httpx.Client, received: Callable[[], list[Any]], name: str
) -> None:
    marker = f"forged-{time.time_ns()}"
    answer = guest.post("/v1/chat/completions", json=CHAT, headers={name: marker})
    assert answer.status_code == 200
    assert not arrived(received, marker)


BODY = json.dumps(CHAT).encode()
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)
SIZED = b"Content-Length: %d\r\n" % len(BODY)
HIDDEN = {
    "in a trailer": CHUNKED + b"X-Jan-User-Id: forged\r\n\r\n",
    "with a space before the colon": SIZED + b"X-Jan-User-Id : forged\r\n\r\n" + BODY,
    "as the second line of another": SIZED + b"X-A: 1\r\n X-Jan-User-Id: forged\r\n\r\n" + BODY,
    "behind a bare line feed": SIZED + b"X-A: 1\nX-Jan-User-Id: forged\r\n\r\n" + BODY,
    "behind a bare carriage return": SIZED + b"X-A: 1\rX-Jan-User-Id: forged\r\n\r\n" + BODY,
    "behind a zero byte": SIZED + b"X-A: 1\0X-Jan-User-Id: forged\r\n\r\n" + BODY,
    "spelled with plus signs": SIZED + b"X+Jan+User+Id: forged\r\n\r\n" + BODY,
    "beside an upgrade": SIZED
    + b"Upgrade: websocket\r\nConnection: upgrade\r\nX-Jan-User-Id: forged\r\n\r\n"
    + BODY,
    "in a second request inside the first": SIZED
    + CHUNKED
    + b"\r\nPOST /v1/chat/completions HTTP/1.1\r\nX-Jan-User-Id: forged\r\n\r\n",
    "behind a thousand empty lines": SIZED
    + b"X:\r\n" * 1000
    + b"X-Jan-User-Id: forged\r\n\r\n"
    + BODY,
}


@pytest.mark.parametrize("way", HIDDEN)
def test_no_way_of_writing_a_header_hides_it_from_the_plugin(
    gateway_url: str, token: str, received: Callable[[], list[Any]], way: str
) -> None:
    opening = head("POST", "/v1/chat/completions", f"Authorization: Bearer {token}")
    json_type = b"Content-Type: application/json\r\n"
    status, answer = raw(gateway_url, opening.removesuffix(b"\r\n") + json_type + HIDDEN[way])
    assert status in (200, 400, 431), answer
    values = [value for each in received() for _, value in each["headers"]]
    assert not any(value == "forged" for value in values)


def test_the_gateways_secret_never_reaches_the_model(own_stack: Stack) -> None:
    secret = own_stack.gateway.environment["JAN_GATEWAY_SECRET"]
    with client_for(own_stack.base_url, guest_token(own_stack.base_url)) as me:
        assert me.post("/v1/chat/completions", json=CHAT).status_code == 200
    received = httpx.get(url(own_stack.ports.llm, "/received"), trust_env=False).text
    assert len(json.loads(received)) >= 1
    assert secret not in received
    assert "gateway-secret" not in received.lower()


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["X-A: " + "a" * 100_000], id="one of 100 kB"),
        pytest.param([f"X-{number}: 1" for number in range(3000)], id="three thousand"),
        pytest.param(["X-A:"] * 1200, id="twelve hundred empty ones"),
        pytest.param(["Authorization: Bearer " + "a" * 20_000], id="a token of 20 kB"),
    ],
)
def test_oversized_headers_are_refused_before_anything_is_reached(
    gateway_url: str, received: Callable[[], list[Any]], lines: list[str]
) -> None:
    marker = f"marker-{time.time_ns()}"
    body = json.dumps(CHAT | {"user": marker})
    sized = [*lines, "Content-Type: application/json", f"Content-Length: {len(body)}"]
    status, answer = raw(gateway_url, head("POST", "/v1/chat/completions", *sized) + body.encode())
    assert status in (400, 401, 431, 494), answer
    assert set(json.loads(answer[answer.index(b"{") : answer.rindex(b"}") + 1])["error"]) == SHAPE
    assert not arrived(received, marker)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["Cookie: " + "a" * 17_000], id="one line"),
        pytest.param(["Cookie: " + "a" * 30_000], id="one line beyond nginx's own usual limit"),
        pytest.param(["Authorization: Bearer " + "a" * 20_000], id="a token"),
        pytest.param([f"X-{number}: {'a' * 4000}" for number in range(5)], id="several lines"),
        pytest.param([f"X-{number}: {'a' * 90}" for number in range(400)], id="many lines"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/media/v1/media"])
def test_headers_over_the_limit_are_a_431_that_names_it(
    gateway_url: str, token: str, path: str, lines: list[str]
) -> None:
    if not lines[0].startswith("Authorization"):
        lines = [*lines, f"Authorization: Bearer {token}"]
    status, answer = raw(gateway_url, head("POST", path, *lines, "Content-Length: 0"))
    assert status == 431, answer
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert error["code"] == "headers_too_large"
    assert "16384" in error["message"]


def test_zeros_before_a_length_do_not_lift_the_limit(gateway_url: str, token: str) -> None:
    length = f"Content-Length: {'0' * 12}34000000"  # above max_body_bytes, below Kong's own limit
    lines = [f"Authorization: Bearer {token}", "Content-Type: image/png", length]
    status, answer = raw(gateway_url, head("POST", "/media/v1/media", *lines))
    assert status == 413, answer
    assert b"33554432" in answer


def test_a_body_without_a_length_ends_at_a_limit(
    guest: httpx.Client, received: Callable[[], list[Any]]
) -> None:
    marker = f"marker-{time.time_ns()}".encode()
    pieces = (marker * 40_000 for _ in range(90))  # some 90 MB
    try:
        answer = guest.post(
            "/v1/chat/completions", content=pieces, headers={"Content-Type": "text/plain"}
        )
        assert answer.status_code == 413
        assert set(answer.json()["error"]) == SHAPE
    except httpx.WriteError:
        pass  # it has closed the connection while we were sending
    assert not arrived(received, marker.decode())


# --- when the plugin server is away, on the whole stack


def test_a_stopped_plugin_server_lets_nobody_through(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KONG_NGINX_HTTP_LUA_SOCKET_READ_TIMEOUT", "1s")
    with start_stack(tmp_path_factory.mktemp("stopped")) as stack:
        token = guest_token(stack.base_url)
        with client_for(stack.base_url, token) as me:
            assert me.post("/v1/chat/completions", json=CHAT).status_code == 200
            pids = plugin_servers(stack.gateway.pid)
            assert pids
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            try:
                answers = [
                    me.post("/v1/chat/completions", json=CHAT | {"user": "intruder"}),
                    me.get("/media/v1/media"),
                ]
            finally:
                for pid in pids:
                    os.kill(pid, signal.SIGCONT)
        assert {answer.status_code for answer in answers} <= {401, 500, 503}
        received = httpx.get(url(stack.ports.llm, "/received"), trust_env=False).text
        assert "intruder" not in received


def test_while_the_gateway_starts_nobody_gets_through(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    stack = start_stack(tmp_path_factory.mktemp("starting"))
    statuses: list[int] = []
    ended = threading.Event()

    def knock() -> None:
        while not ended.is_set():
            try:
                answer = httpx.post(
                    f"{stack.base_url}/v1/chat/completions",
                    json=CHAT | {"user": "intruder"},
                    headers={"X-Jan-User-Id": "root", "X-Authenticated-Groups": "jan-users"},
                    trust_env=False,
                )
                statuses.append(answer.status_code)
            except httpx.HTTPError:
                time.sleep(0.005)

    knocking = threading.Thread(target=knock)
    knocking.start()
    try:
        with stack:
            ended.set()
            knocking.join()
            received = httpx.get(url(stack.ports.llm, "/received"), trust_env=False).text
    finally:
        ended.set()
        knocking.join()
    assert statuses
    assert set(statuses) <= {401, 500, 503}
    assert "intruder" not in received


# --- too much of one caller


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack from kong.yml with its limits per caller switched on, as its comments tell."""
    folder = tmp_path_factory.mktemp("limited")
    written = (ROOT / "kong.yml").read_text("utf-8")
    switched_on = re.sub(
        r"(?m)^( +)# (- name: rate-limiting.*\n)((?:\1#.*\n)+)",
        lambda found: found[1] + found[2] + re.sub(r"(?m)^( +)#  ?", r"\1 ", found[3]),
        written,
    )
    switched_on = re.sub(r"(?m)^( +)(auth: required\n)", r"\1\2\1set_consumer: true\n", switched_on)
    switched_on = re.sub(r"minute: (120|60)$", "minute: 3", switched_on, flags=re.MULTILINE)
    path: Path = folder / "limited.yml"
    path.write_text(switched_on, "utf-8")
    stack = start_stack(folder)
    stack.kong_yml = path
    with stack:
        yield stack


@pytest.mark.parametrize("path", ["/v1/models", "/media/v1/media"])
def test_each_caller_has_a_limit_of_its_own(limited: Stack, path: str) -> None:
    busy = new_key(limited, owner="busy")
    quiet = new_key(limited, owner="quiet")
    with client_for(limited.base_url, busy) as one, client_for(limited.base_url, quiet) as other:
        answers = [one.get(path) for _ in range(8)]
        assert {answer.status_code for answer in answers} == {200, 429}
        refused = answers[-1]
        assert refused.status_code == 429
        assert set(refused.json()["error"]) == SHAPE
        assert int(refused.headers["Retry-After"]) > 0
        assert other.get(path).status_code == 200


# --- keys


def test_a_revoked_key_ends_within_the_time_that_gateways_believe_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("revoked")
    written = (ROOT / "kong.yml").read_text("utf-8")
    believing = re.sub(r"(?m)^( +)(auth: required\n)", r"\1\2\1key_cache_seconds: 2\n", written)
    path = folder / "believing.yml"
    path.write_text(believing, "utf-8")
    stack = start_stack(folder)
    stack.kong_yml = path
    with stack:
        key = new_key(stack)
        listed = keys(stack, "list", "--prefix", key[:11])
        (handle,) = re.findall(r"^(key_\w+)", listed, re.MULTILINE)
        assert key not in listed
        with client_for(stack.base_url, key) as robot:
            assert robot.get("/v1/models").status_code == 200
            keys(stack, "revoke", handle)
            believed_until = time.monotonic() + 2
            began = 0.0
            while robot.get("/v1/models").status_code != 401:
                assert began < believed_until, "the key is still believed"
                began = time.monotonic()  # however long the answer takes then
            assert robot.get("/media/v1/media").status_code == 401
        assert "revoked" in keys(stack, "list", "--prefix", key[:11])
