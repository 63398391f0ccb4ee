"""Limits that hold under many concurrent requests: memory, lanes, workers."""

import base64
import io
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from bench.processes import Processes
from tests.contract.api.client import Api
from tests.contract.api.conftest import Website
from tests.support.pictures import large_picture, picture
from tests.support.scrape import Scrape
from tests.support.sidecar import RunningSidecar, running_sidecar
from tests.support.waiting import wait_until

MIB = 1024 * 1024
LARGE = 20 * 1000 * 1000  # bytes of an image just below the default limit


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    with running_sidecar(tmp_path_factory.mktemp("load") / "data") as running:
        yield running


def as_data_url(api: Api, data: bytes, _: Website) -> httpx.Response:
    encoded = base64.b64encode(data)
    body = b'{"source":{"type":"data_url","data_url":"data:image/bmp;base64,' + encoded + b'"}}'
    headers = api.as_user("ann") | {"Content-Type": "application/json"}
    return api.http.post("/v1/media", content=body, headers=headers)


def as_form(api: Api, data: bytes, _: Website) -> httpx.Response:
    return api.http.post(
        "/v1/media", files={"file": ("a.bmp", io.BytesIO(data))}, headers=api.as_user("ann")
    )


def as_url(api: Api, data: bytes, website: Website) -> httpx.Response:
    url = website.put("/large.bmp", data)
    return api.post("/v1/media", {"source": {"type": "remote_url", "url": url}})


@pytest.mark.parametrize("send", [as_data_url, as_form, as_url])
def test_an_upload_of_20_mb_takes_little_memory(
    send: Callable[[Api, bytes, Website], httpx.Response],
    sidecar: RunningSidecar,
    api: Api,
    website: Website,
) -> None:
    data = large_picture(LARGE)
    for _ in range(20):  # threads, connections and caches are there from now on
        assert send(api, picture("BMP"), website).status_code == 200
    processes = Processes(sidecar.process.pid)
    processes.reset_peaks()
    before = processes.resident_bytes()

    assert send(api, data, website).status_code == 200

    assert processes.peak_bytes() - before <= 8 * MIB


def test_sixteen_uploads_of_20_mb_at_once_stay_below_400_mib(sidecar: RunningSidecar) -> None:
    data = large_picture(LARGE)
    processes = Processes(sidecar.process.pid)
    processes.reset_peaks()

    def upload(number: int) -> int:
        with Api(sidecar) as api:
            own = data[:-1] + bytes([number])
            return api.http.post(
                "/v1/media",
                content=own,
                headers=api.as_user("ann") | {"Content-Type": "image/bmp"},
                timeout=100,
            ).status_code

    with ThreadPoolExecutor(16) as senders:
        assert set(senders.map(upload, range(16))) == {200}

    assert processes.peak_bytes() < 400 * MIB


class SlowS3:
    """An S3 service that takes objects at once, or keeps who sends one waiting."""

    def __init__(self) -> None:
        self.slow = threading.Event()
        self.go_on = threading.Event()
        self.waiting = threading.Semaphore(0)
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(b"<ListBucketResult></ListBucketResult>")

            def do_PUT(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                if service.slow.is_set():
                    service.waiting.release()
                    service.go_on.wait()
                self._answer(b"")

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def slow_s3() -> Iterator[SlowS3]:
    service = SlowS3()
    threading.Thread(target=service.server.serve_forever, daemon=True).start()
    try:
        yield service
    finally:
        service.go_on.set()
        service.server.shutdown()
        service.server.server_close()


def test_ids_are_resolved_while_a_hundred_uploads_wait_for_a_slow_storage(tmp_path: Path) -> None:
    with (
        slow_s3() as storage,
        running_sidecar(
            tmp_path / "data",
            STORAGE_BACKEND="s3",
            S3_ENDPOINT=storage.url,
            S3_BUCKET="bucket",
            S3_ACCESS_KEY="key",
            S3_SECRET_KEY="secret",
            S3_USE_PATH_STYLE="true",
        ) as sidecar,
        Api(sidecar) as api,
        ThreadPoolExecutor(100) as senders,
    ):
        id = api.upload(picture())["id"]
        storage.slow.set()

        def upload(data: bytes, user: str) -> int:
            with Api(sidecar) as sender:
                return sender.http.post(
                    "/v1/media",
                    content=data,
                    headers=sender.as_user(user) | {"Content-Type": "image/png"},
                ).status_code

        uploads = [senders.submit(upload, picture(), f"user-{number}") for number in range(100)]
        for _ in range(16):  # as many as a worker writes at once
            assert storage.waiting.acquire(timeout=20)

        since = time.monotonic()
        for _ in range(20):
            assert api.ask("/internal/resolve", {"names": [id]})[1]["errors"] == {}
            assert api.post("/v1/media/resolve", {"ids": [id]}).status_code == 200
        took = time.monotonic() - since
        assert not any(each.done() for each in uploads)
        storage.slow.clear()
        storage.go_on.set()

        assert took < 5
        assert {each.result() for each in uploads} <= {200, 503}


def test_the_metrics_of_several_workers_are_summed_and_outlive_them(tmp_path: Path) -> None:
    def answered() -> float:
        scrape = Scrape(f"{running.internal_url}/metrics")
        return scrape.value("jan_media_requests_total", route="/.well-known/jwks.json")

    def ask(times: int) -> None:
        for _ in range(times):  # each on a connection of its own, so any worker may get it
            assert httpx.get(f"{running.public_url}/.well-known/jwks.json").status_code == 200

    with running_sidecar(tmp_path / "data", WORKERS="3") as running:
        ask(30)
        wait_until(lambda: answered() == 30)  # a request is counted once its answer is sent
        files = sorted(each.name for each in metrics_folder(running).iterdir())
        before = Processes(running.process.pid).children
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: len({*Processes(running.process.pid).children} - {*before}) == 1)
        ask(30)
        wait_until(lambda: answered() == 60)
        assert sorted(each.name for each in metrics_folder(running).iterdir()) == files


def metrics_folder(sidecar: RunningSidecar) -> Path:
    """Where its workers count, by what a worker has open."""
    worker = Processes(sidecar.process.pid).children[0]
    opened = [link.resolve() for link in Path(f"/proc/{worker}/fd").iterdir()]
    (folder,) = {path.parent for path in opened if path.suffix == ".db" and "_" in path.stem}
    return folder


def test_connections_are_spread_over_the_workers(tmp_path: Path) -> None:
    with running_sidecar(tmp_path / "data", WORKERS="2") as sidecar:
        clients = [httpx.Client(base_url=sidecar.public_url) for _ in range(40)]
        with ThreadPoolExecutor(40) as senders:
            answers = senders.map(lambda client: client.get("/healthz").status_code, clients)
            assert set(answers) == {200}

        workers = Processes(sidecar.process.pid).children
        port = sidecar.public_url.rpartition(":")[2]
        held = [_connections(pid, int(port)) for pid in workers]
        for client in clients:
            client.close()

        assert sum(held) == 40
        assert min(held) > 0


def _connections(pid: int, port: int) -> int:
    """How many established connections to ``port`` a process holds, by /proc."""
    table = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    established = {
        fields[9]
        for fields in map(str.split, table)
        if fields[3] == "01" and int(fields[1].rpartition(":")[2], 16) == port
    }
    open_ = [link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir()]
    return sum(name.removeprefix("socket:[").rstrip("]") in established for name in open_)
