"""The process: how it starts, stops, sweeps, and survives outages."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from bench.processes import Processes
from tests.contract.api.client import Api, assert_error, data_url_body
from tests.support.pictures import picture
from tests.support.sidecar import environment, run_jan_media, running_sidecar
from tests.support.waiting import wait_until


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_stops_it_cleanly(tmp_path: Path, workers: str, how: signal.Signals) -> None:
    with running_sidecar(tmp_path / "data", WORKERS=workers) as sidecar:
        with Api(sidecar) as api:
            api.upload(picture())
        assert sidecar.stop(how) == 0
        assert "Traceback" not in sidecar.log


def test_a_dead_worker_is_replaced(tmp_path: Path) -> None:
    with running_sidecar(tmp_path / "data", WORKERS="2") as sidecar:
        children = Path(f"/proc/{sidecar.process.pid}/task/{sidecar.process.pid}/children")
        before = set(children.read_text().split())
        os.kill(int(min(before)), signal.SIGKILL)
        wait_until(lambda: len(set(children.read_text().split()) - before) == 1)
        wait_until(lambda: httpx.get(f"{sidecar.public_url}/readyz").status_code == 200)


def test_dead_workers_are_replaced_though_all_have_died(tmp_path: Path) -> None:
    with running_sidecar(tmp_path / "data", WORKERS="2") as sidecar:
        before = Processes(sidecar.process.pid).children
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: sidecar.log.count("starting another") == 2)
        wait_until(lambda: len(set(Processes(sidecar.process.pid).children) - {*before}) == 2)

        def answers() -> bool:
            with contextlib.suppress(httpx.ConnectError):  # while none of them serves yet
                return httpx.get(f"{sidecar.public_url}/readyz").status_code == 200
            return False

        wait_until(answers)


def test_a_worker_that_cannot_be_replaced_at_once_is_replaced_later(tmp_path: Path) -> None:
    with running_sidecar(tmp_path / "data", WORKERS="2") as sidecar:
        before = Processes(sidecar.process.pid).children
        keys, away = sidecar.data_dir / "keys", tmp_path / "away"
        keys.rename(away)
        keys.write_text("not a folder")
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: "keys" in sidecar.log)
        keys.unlink()
        away.rename(keys)
        wait_until(lambda: sidecar.log.count("starting another") == 1)
        wait_until(lambda: len(set(Processes(sidecar.process.pid).children) - {*before}) == 1)


def test_a_signal_while_the_workers_are_made_leaves_nobody(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "jan_media", "serve"],
        env=environment(tmp_path, WORKERS="2"),
        start_new_session=True,
    )
    wait_until(lambda: Processes(process.pid).children != [])
    process.terminate()
    assert process.wait(30) == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_what_a_killed_worker_was_writing_is_cleared_away(tmp_path: Path) -> None:
    with running_sidecar(tmp_path / "data", WORKERS="2") as sidecar:
        children = Path(f"/proc/{sidecar.process.pid}/task/{sidecar.process.pid}/children")
        before = set(children.read_text().split())
        half = sidecar.data_dir / "objects" / "incoming" / "half-written"
        half.write_bytes(b"half")  # nobody holds its lock
        os.kill(int(min(before)), signal.SIGKILL)
        wait_until(lambda: not half.exists())


def test_connections_that_come_at_once_are_spread_among_the_workers(tmp_path: Path) -> None:
    def sockets(worker: int) -> int:
        folder = Path(f"/proc/{worker}/fd")
        return sum("socket" in os.readlink(each) for each in folder.iterdir())

    with running_sidecar(tmp_path / "data", WORKERS="2") as sidecar:
        workers = Processes(sidecar.process.pid).children
        before = [sockets(worker) for worker in workers]
        to = urlsplit(sidecar.public_url)
        with contextlib.ExitStack() as stack:
            for _ in range(32):
                stack.enter_context(socket.create_connection((to.hostname, to.port)))

            def taken() -> list[int]:
                return [sockets(each) - was for each, was in zip(workers, before, strict=True)]

            wait_until(lambda: sum(taken()) == 32)
            assert min(taken()) >= 4  # one in 400,000 times it is not, if chance decides


def test_the_supervisor_has_no_threads_that_its_workers_would_miss(tmp_path: Path) -> None:
    with running_sidecar(tmp_path / "data", WORKERS="2") as sidecar:
        assert len(os.listdir(f"/proc/{sidecar.process.pid}/task")) == 1


def test_supervisor_and_two_workers_begin_by_sharing_memory(tmp_path: Path) -> None:
    with running_sidecar(tmp_path / "data", WORKERS="2") as sidecar:
        assert Processes(sidecar.process.pid).alone_bytes() < 110 * 1024 * 1024  # alone each has 60


def test_unix_sockets_serve_too(tmp_path: Path) -> None:
    public, internal = tmp_path / "public.sock", tmp_path / "internal.sock"
    settings = {"LISTEN": f"unix:{public}", "INTERNAL_LISTEN": f"unix:{internal}"}
    with running_sidecar(tmp_path / "data", **settings) as sidecar:
        for path in (public, internal):
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
                assert client.get("http://sidecar/readyz").status_code == 200
        assert sidecar.public_url == f"unix:{public}"
    assert not public.exists()


def test_media_outlives_a_kill(tmp_path: Path) -> None:
    data = picture()
    with running_sidecar(tmp_path / "data") as sidecar, Api(sidecar) as api:
        media_id = api.upload(data)["id"]
        sidecar.stop(signal.SIGKILL)
    with running_sidecar(tmp_path / "data") as sidecar, Api(sidecar) as api:
        assert api.get(f"/v1/media/{media_id}/content").content == data


def test_wrong_settings_stop_the_start_and_are_all_named(tmp_path: Path) -> None:
    ended = run_jan_media("serve", data_dir=tmp_path, MAX_BYTES="x", WORKERS="x")
    assert ended.returncode == 1
    assert "MEDIA_MAX_BYTES" in ended.stderr
    assert "MEDIA_WORKERS" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_open_listener_without_a_secret_stops_the_start(tmp_path: Path) -> None:
    ended = run_jan_media("serve", data_dir=tmp_path, LISTEN="0.0.0.0:0")
    assert (ended.returncode, "MEDIA_GATEWAY_SECRET" in ended.stderr) == (1, True)


def test_an_address_that_is_taken_stops_the_start(tmp_path: Path) -> None:
    with running_sidecar(tmp_path / "data") as sidecar:
        taken = sidecar.public_url.removeprefix("http://")
        ended = run_jan_media("serve", data_dir=tmp_path / "other", LISTEN=taken)
    assert (ended.returncode, taken in ended.stderr) == (1, True)


def test_an_unknown_setting_is_a_warning(tmp_path: Path) -> None:
    with running_sidecar(tmp_path / "data", MAX_BITES="1") as sidecar:
        assert "did you mean MEDIA_MAX_BYTES?" in sidecar.log


def test_a_schema_of_a_later_version_stops_the_start(tmp_path: Path) -> None:
    with running_sidecar(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "catalog.db") as database:
        database.execute("UPDATE schema_version SET version = 999")
    database.close()
    ended = run_jan_media("serve", data_dir=tmp_path)
    assert ended.returncode == 1
    assert "MEDIA_DATABASE_URL" in ended.stderr
    assert "upgrade the sidecar" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_database_that_cannot_be_reached_is_named_with_the_reason(tmp_path: Path) -> None:
    url = "postgresql://jan:hidden@127.0.0.1:1/jan"
    with running_sidecar(tmp_path, DATABASE_URL=url) as sidecar, Api(sidecar) as api:
        assert_error(api.http.get("/readyz"), 503, "service_unavailable")
        wait_until(lambda: "MEDIA_DATABASE_URL" in sidecar.log and "refused" in sidecar.log)
        assert "hidden" not in sidecar.log
    ended = run_jan_media("sweep", data_dir=tmp_path, DATABASE_URL=url)
    assert ended.returncode == 1
    assert "MEDIA_DATABASE_URL" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_storage_that_is_away_is_503_and_comes_back(tmp_path: Path) -> None:
    objects = tmp_path / "data" / "objects"
    with running_sidecar(tmp_path / "data") as sidecar, Api(sidecar) as api:
        data = picture()
        objects.rename(tmp_path / "away")
        upload = api.post("/v1/media", data_url_body(data))
        assert_error(upload, 503, "service_unavailable")
        assert int(upload.headers["retry-after"]) > 0
        ready = api.http.get("/readyz")
        assert_error(ready, 503, "service_unavailable")
        assert ready.headers["retry-after"]
        assert api.http.get("/healthz").status_code == 200
        (tmp_path / "away").rename(objects)
        assert api.http.get("/readyz").status_code == 200
        assert api.upload(data)["deduped"] is False


def test_a_catalog_that_is_away_is_503(tmp_path: Path) -> None:
    with running_sidecar(tmp_path / "data") as sidecar, Api(sidecar) as api:
        media_id = api.upload(picture())["id"]
        locked = sqlite3.connect(tmp_path / "data" / "catalog.db", isolation_level=None)
        locked.execute("BEGIN EXCLUSIVE")
        try:
            response = api.post("/v1/media", data_url_body(picture()))
            assert_error(response, 503, "service_unavailable")
        finally:
            locked.execute("ROLLBACK")
            locked.close()
        assert api.get(f"/v1/media/{media_id}").status_code == 200


def test_the_sweep_runs_by_itself(tmp_path: Path) -> None:
    with (
        running_sidecar(
            tmp_path / "data", SWEEP_INTERVAL="200ms", SWEEP_GRACE="1s", UPLOAD_TTL="1s"
        ) as sidecar,
        Api(sidecar) as api,
    ):
        api.prepare()
        wait_until(lambda: "stale_uploads=1" in sidecar.log)


def test_the_sweep_command_says_what_it_did(tmp_path: Path) -> None:
    settings = {"RETENTION_DAYS": "0.00001", "SWEEP_INTERVAL": "0"}
    with running_sidecar(tmp_path, **settings) as sidecar, Api(sidecar) as api:
        media_id = api.upload(picture())["id"]
        wait_until(lambda: api.get(f"/v1/media/{media_id}").status_code == 404)
        rehearsed = run_jan_media("sweep", "--dry-run", data_dir=tmp_path, **settings)
        swept = run_jan_media("sweep", data_dir=tmp_path, **settings)
        again = run_jan_media("sweep", "--grace", "0s", data_dir=tmp_path, **settings)
    numbers = (
        "expired_media=1 stale_uploads=0 unreferenced_contents=1 deleted_objects=1 ended_claims=0"
    )
    assert rehearsed.stdout == f"would sweep {numbers}\n"
    assert swept.stdout == f"swept {numbers}\n"
    assert "expired_media=0" in again.stdout
    assert list((tmp_path / "objects").rglob("content*")) == []
