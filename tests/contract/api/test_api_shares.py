"""No caller can block the others: by silence, by slowness, or by many requests."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from jan_media.api.bodies import BEGINNING

from tests.contract.api.client import Api
from tests.support.pictures import picture
from tests.support.sidecar import RunningSidecar, running_sidecar

AT_ONCE = 8


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[RunningSidecar]:
    """A sidecar with few slots."""
    with running_sidecar(
        tmp_path / "data", MAX_UPLOADS=str(AT_ONCE), MAX_FETCHES="4", REMOTE_FETCH_TIMEOUT="3s"
    ) as running:
        yield running


@contextmanager
def connected(sidecar: RunningSidecar, *heads: bytes) -> Iterator[list[socket.socket]]:
    """Connections that have each sent a request's head, whole or in part, and stay open."""
    parts = urlsplit(sidecar.public_url)
    with ExitStack() as opened:
        sockets = []
        for head in heads:
            sock = socket.create_connection((parts.hostname, parts.port), timeout=30)
            opened.enter_context(sock)
            sock.sendall(head)
            sockets.append(sock)
        yield sockets


def raw_upload(user: str, sent: int = 0) -> bytes:
    """The head of an upload of a megabyte by ``user``, and its first bytes."""
    return (
        (
            f"POST /v1/media HTTP/1.1\r\nHost: localhost\r\nX-Jan-User-Id: {user}\r\n"
            "Content-Type: image/png\r\nContent-Length: 1000000\r\n\r\n"
        ).encode()
        + picture()[:20]
        + b"a" * sent
    )


def test_two_hundred_silent_forms_hold_no_place(sidecar: RunningSidecar) -> None:
    head = (
        b"POST /files HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n--b\r\n"
    )
    with connected(sidecar, *[head] * 200), Api(sidecar) as api:
        for _ in range(AT_ONCE * 2):
            api.upload(picture())


def test_slow_uploads_of_one_caller_leave_room_for_others(sidecar: RunningSidecar) -> None:
    with connected(sidecar, *[raw_upload("slow")] * 33), Api(sidecar) as api:
        for _ in range(AT_ONCE):
            api.upload(picture(), "quick")


def test_slow_uploads_of_many_callers_lose_their_places_first(sidecar: RunningSidecar) -> None:
    heads = [raw_upload(f"slow-{number}", BEGINNING) for number in range(33)]
    with connected(sidecar, *heads) as slow, Api(sidecar) as api:
        stop = threading.Event()
        dripping = threading.Thread(target=drip, args=(slow, stop))
        dripping.start()
        try:
            api.upload(picture(), "quick")
        finally:
            stop.set()
            dripping.join()


def drip(sockets: list[socket.socket], stop: threading.Event) -> None:
    """Send about 6 kB a second on each socket."""
    while not stop.wait(0.1):
        for sock in sockets:
            try:
                sock.sendall(b"a" * 600)
            except OSError:
                continue  # it has been refused


def test_urls_of_a_silent_host_hold_no_upload_place(sidecar: RunningSidecar) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent, Api(sidecar) as api:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.png"
        body = {"source": {"type": "remote_url", "url": url}}

        def fetch() -> None:
            with Api(sidecar) as own:
                own.post("/v1/media", body, "fetcher")

        fetchers = [threading.Thread(target=fetch) for _ in range(40)]
        for fetcher in fetchers:
            fetcher.start()
        first, _ = silent.accept()  # so the fetches have begun
        with first:
            for _ in range(AT_ONCE * 2):
                api.upload(picture(), "quick")
            assert all(fetcher.is_alive() for fetcher in fetchers[:1])
        for fetcher in fetchers:
            fetcher.join()


def test_a_form_is_refused_by_its_policy_before_its_file_has_come(sidecar: RunningSidecar) -> None:
    head = (
        b"POST /files HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n"
        b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc'
    )
    with connected(sidecar, head) as (sock,):
        assert sock.recv(100).startswith(b"HTTP/1.1 4")


def test_one_address_sends_signed_forms_in_turn(sidecar: RunningSidecar) -> None:
    with Api(sidecar) as api:
        for _ in range(AT_ONCE * 2):
            form = api.prepare()["presigned_post"]
            answer = httpx.post(form["url"], data=form["fields"], files={"file": picture()})
            assert answer.status_code == 204
