"""S3 or the database goes down or hangs while clients use it, and comes back."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest
from jan_media.catalog.postgres import CONNECTIONS

from demo.addresses import url
from demo.images import drawn
from demo.stack import Stack
from tests.e2e.conftest import client_for, guest_token, start_stack
from tests.e2e.persistent_client import uploading
from tests.support.ceph import Ceph
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until

TIME_LIMIT = 30.0  # seconds for an upload to be refused while a backend stands still
GREEN_AGAIN = 20.0  # seconds
CLIENTS = 8
KINDS = ["s3 stopped", "s3 frozen", "database stopped", "database frozen"]


@pytest.fixture(scope="module")
def stack(
    ceph: Ceph, second_postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A stack on S3 and on a database server that a test may stop."""
    with start_stack(
        tmp_path_factory.mktemp("beyond"),
        **ceph.media_settings(ceph.new_bucket()),
        MEDIA_DATABASE_URL=second_postgres_server.new_database(),
    ) as started:
        yield started


@pytest.fixture
def token(stack: Stack) -> str:
    return guest_token(stack.base_url)


@pytest.fixture
def me(stack: Stack, token: str) -> Iterator[httpx.Client]:
    with client_for(stack.base_url, token) as client:
        yield client


def away(kind: str, ceph: Ceph, database: PostgresServer) -> AbstractContextManager[None]:
    """A block inside which something is away."""
    if kind.startswith("s3"):
        return ceph.gateway_stopped() if kind.endswith("stopped") else ceph.gateway_silent()
    return _database_away(kind, database)


@contextmanager
def _database_away(kind: str, database: PostgresServer) -> Iterator[None]:
    if kind.endswith("stopped"):
        database.stop()
    else:
        database.freeze()
    try:
        yield
    finally:
        database.restore()


def readiness(stack: Stack) -> httpx.Response:
    return httpx.get(url(stack.ports.public, "/readyz"), timeout=10, trust_env=False)


def ready(stack: Stack) -> int:
    return readiness(stack).status_code


def chat(client: httpx.Client, media_id: str) -> httpx.Response:
    part = {"type": "image_url", "image_url": {"url": media_id}}
    return client.post(
        "/v1/chat/completions",
        json={"model": "m", "messages": [{"role": "user", "content": [part]}]},
    )


@pytest.mark.parametrize("kind", KINDS)
def test_uploads_are_refused_in_time_and_nothing_is_lost(
    kind: str,
    stack: Stack,
    token: str,
    me: httpx.Client,
    ceph: Ceph,
    second_postgres_server: PostgresServer,
) -> None:
    known = me.post("/media/v1/media", files={"file": drawn(f"{kind}.png")}).json()["id"]
    assert chat(me, known).status_code == 200
    assert ready(stack) == 200

    with uploading(token, stack.base_url) as uploads:
        uploads.wait_for_more(5)
        with away(kind, ceph, second_postgres_server):
            uploads.wait_for_refusals(2, seconds=TIME_LIMIT)
            part = "storage" if kind.startswith("s3") else "catalog"
            for _ in range(4):  # also while earlier checks still wait
                red = readiness(stack)
                assert (red.status_code, part in red.text) == (503, True), red.text
            # The plugin remembers the URL, so the chat reaches the model; whether the model can
            # read the image is between it and S3.
            answer = chat(me, known)
            if kind.startswith("database"):
                assert answer.status_code == 200, answer.text
            else:
                assert answer.json()["error"]["code"] == "image_not_readable"
        wait_until(lambda: ready(stack) == 200, seconds=GREEN_AGAIN)
        uploads.wait_for_more(5)

    assert uploads.slowest < TIME_LIMIT
    for refused in uploads.refused:
        assert refused.status_code == 503, refused.text
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.json()["error"]["code"] == "service_unavailable"
    uploads.assert_all_there(me)


def test_outages_leak_no_threads_and_no_connections(
    stack: Stack, token: str, ceph: Ceph, second_postgres_server: PostgresServer
) -> None:
    sidecar = next(part for part in stack.parts if part.name == "sidecar").pid

    def outages() -> int:
        """How many requests were refused."""
        with uploading(token, stack.base_url, each=CLIENTS) as uploads:
            for kind in ("s3 stopped", "database stopped", "database frozen"):
                wait_until(lambda: ready(stack) == 200, seconds=GREEN_AGAIN)
                with away(kind, ceph, second_postgres_server):
                    uploads.wait_for_refusals(CLIENTS)
                uploads.wait_for_more(CLIENTS)
        return len(uploads.refused)

    outages()  # by now everything that is kept for reuse has been opened
    threads, files = count(sidecar, "task"), count(sidecar, "fd")
    refused = outages()
    # What is kept for reuse varies with how many requests happened to run at once. A thread or a
    # connection lost with each refused request would be far more.
    assert refused > 2 * CLIENTS
    wait_until(lambda: count(sidecar, "task") <= threads + CLIENTS)
    wait_until(lambda: count(sidecar, "fd") <= files + CLIENTS)
    database = stack.media_settings["MEDIA_DATABASE_URL"]
    wait_until(lambda: second_postgres_server.connections(database) <= CONNECTIONS)


def count(pid: int, what: str) -> int:
    """How many threads (``task``) or open files (``fd``) a process has."""
    return len(os.listdir(Path(f"/proc/{pid}/{what}")))
