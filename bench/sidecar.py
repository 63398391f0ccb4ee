"""The sidecar's requests a second on PostgreSQL and Ceph, with two workers and 16 connections.

``python -m bench.sidecar`` starts the database, the S3 service and ``jan-media serve``, and loads
each kind of request in turn with wrk. Besides the rate it prints the processor time that a request
costs the sidecar's processes and the services, which is reliable even on a shared machine.
The peer is a compiled service for the same task, on the same kind of machine.
"""

import base64
import functools
import io
import json
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgpack
from PIL import Image

from bench.processes import Processes
from bench.report import Options, Spread, Table, in_turn, run
from bench.wrk import Load, drive
from tests.support import ceph, postgres
from tests.support.sidecar import RunningSidecar, running_sidecar

CONNECTIONS = 16
WORKERS = 2
USER = {  # as the gateway sends it
    "X-Jan-User-Id": "bench",
    "X-Jan-Issuer": "https://issuer.test",
    "X-Kong-Request-Id": "a" * 32,
}
JSON = {"Content-Type": "application/json"}
NEW_BYTES = 24  # of an image; they make it a new one
NEW_CHARACTERS = NEW_BYTES * 4 // 3
PEER = {  # requests a second of the compiled peer on two cores: untuned, and tuned
    "resolve, 1 id in 2 KB": (2900, 6400),
    "resolve, 8 ids in 2 KB": (1300, 1400),
    "presign": (3600, 9300),
    "upload, known 50 KB image": (1200, 2200),
    "upload, new 50 KB image": (430, 460),
}


@dataclass(frozen=True, slots=True)
class Services:
    """The database and the S3 service that this bench has started."""

    database: postgres.PostgresServer
    s3: ceph.Ceph

    def cpu_seconds(self) -> float:
        """Processor time of both with all their processes, so far."""
        database = Processes(self.database.pid).cpu_seconds(ended=True)
        return database + sum(Processes(pid).cpu_seconds() for pid in self.s3.pids())


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one kind of request in one pass."""

    rate: float  # requests a second
    milliseconds: float  # median
    processor_us: float  # of the sidecar for one request
    services_us: float


def measure(options: Options) -> list[Table]:
    """Load the sidecar with each kind in turn."""
    with (
        tempfile.TemporaryDirectory(prefix="jan-bench-") as name,
        running_services() as services,
        sidecar_on(services, Path(name) / "sidecar") as sidecar,
    ):
        folder = Path(name)
        sides = {
            kind: functools.partial(_measured, load, sidecar, services, folder, options.seconds)
            for kind, load in loads_of(sidecar).items()
        }
        return [_table(in_turn(sides, options.passes))]


@contextmanager
def running_services() -> Iterator[Services]:
    """Run PostgreSQL and Ceph RGW."""
    with postgres.running() as database, ceph.running() as s3:
        yield Services(database, s3)


@contextmanager
def sidecar_on(services: Services, folder: Path) -> Iterator[RunningSidecar]:
    """Run a sidecar with two workers on these services."""
    with running_sidecar(
        folder,
        WORKERS=str(WORKERS),
        DATABASE_URL=services.database.new_database(),
        STORAGE_BACKEND="s3",
        S3_ENDPOINT=services.s3.endpoint,
        S3_BUCKET=services.s3.new_bucket(),
        S3_REGION=ceph.REGION,
        S3_ACCESS_KEY=ceph.ACCESS_KEY,
        S3_SECRET_KEY=ceph.SECRET_KEY,
        S3_USE_PATH_STYLE="true",
    ) as sidecar:
        yield sidecar


def loads_of(sidecar: RunningSidecar) -> dict[str, Load]:
    """Upload the media that the requests need; return every kind of request by name."""
    with httpx.Client(base_url=sidecar.public_url, headers=USER, timeout=30) as http:
        ids = []
        for _ in range(256):
            answer = http.post("/v1/media", content=upload_json(picture()), headers=JSON)
            ids.append(str(answer.raise_for_status().json()["id"]))
    known = upload_json(picture())
    # The comment follows the start of image and its own head: 6 bytes, 8 characters.
    fresh = known.index(b"base64,") + len("base64,") + 8
    media = f"{sidecar.public_url}/v1/media"

    def resolve(count: int) -> Load:
        bodies = [_payload(random.sample(ids, count)) for _ in range(64)]
        return Load(f"{media}/resolve", USER | JSON, bodies)

    def internal(count: int) -> Load:
        asked = [{"names": random.sample(ids, count), "fit": None} for _ in range(64)]
        url = f"{sidecar.internal_url}/internal/resolve"
        return Load(url, {"Content-Type": "application/msgpack"}, [*map(msgpack.packb, asked)])

    return {
        "resolve, 1 id in 2 KB": resolve(1),
        "resolve, 8 ids in 2 KB": resolve(8),
        "presign": Load(media, USER, paths=[f"/v1/media/{each}/presign" for each in ids]),
        "upload, known 50 KB image": Load(media, USER | JSON, [known]),
        "upload, new 50 KB image": Load(media, USER | JSON, [known], (), (fresh, NEW_CHARACTERS)),
        "the plugin's question, 1 id": internal(1),
        "the plugin's question, 8 ids": internal(8),
        "the plugin's question, 64 ids": internal(64),
    }


def _measured(
    load: Load, sidecar: RunningSidecar, services: Services, folder: Path, seconds: float
) -> Figures:
    processes = Processes(sidecar.process.pid)
    before = processes.cpu_seconds(), services.cpu_seconds()
    speed = drive(load, folder, connections=CONNECTIONS, seconds=seconds)
    requests = speed.rate * max(1, round(seconds))
    used = processes.cpu_seconds() - before[0], services.cpu_seconds() - before[1]
    own, others = (each / requests * 1e6 for each in used)
    return Figures(speed.rate, speed.median_us / 1000, own, others)


def _table(taken: dict[str, list[Figures]]) -> Table:
    rows = []
    for name, passes in taken.items():
        peer, tuned = PEER.get(name, ("", ""))
        rows.append(
            [
                name,
                f"{Spread.of(each.rate for each in passes):,.0f}",
                f"{Spread.of(each.milliseconds for each in passes).median:.1f}",
                f"{Spread.of(each.processor_us for each in passes):,.0f}",
                f"{Spread.of(each.services_us for each in passes).median:,.0f}",
                *(f"{each:,}" if each else "" for each in (peer, tuned)),
            ]
        )
    columns = [
        *("request", "req/s", "ms", "sidecar's µs CPU", "services' µs CPU"),
        *("peer's req/s", "peer tuned"),
    ]
    title = "Two workers on PostgreSQL and Ceph RGW, 16 connections, all on the same cores."
    return Table(columns, rows, title)


def picture(size: int = 50_000) -> bytes:
    """Return a JPEG of about ``size`` bytes with a comment that makes it unique."""
    side = int((size / 1.45) ** 0.5)
    image = Image.frombytes("RGB", (side, side), os.urandom(side * side * 3))
    out = io.BytesIO()
    image.save(out, "JPEG")
    comment = b"\xff\xfe" + (NEW_BYTES + 2).to_bytes(2) + os.urandom(NEW_BYTES)
    return out.getvalue()[:2] + comment + out.getvalue()[2:]


def upload_json(data: bytes, mime: str = "image/jpeg") -> bytes:
    """Return an upload's body with the bytes as a data URL."""
    encoded = base64.b64encode(data).decode()
    source = {"type": "data_url", "data_url": f"data:{mime};base64,{encoded}"}
    return json.dumps({"source": source}).encode()


def _payload(ids: list[str], size: int = 2048) -> bytes:
    """Return a chat request of about ``size`` bytes with each id in it, to be resolved."""
    content: list[dict[str, object]] = [{"type": "text", "text": ""}]
    content += [{"type": "image_url", "image_url": {"url": each}} for each in ids]
    body = {"payload": {"model": "vision", "messages": [{"role": "user", "content": content}]}}
    content[0]["text"] = ("What is on these? " * size)[: size - len(json.dumps(body))]
    return json.dumps(body).encode()


if __name__ == "__main__":
    run("sidecar", measure, __doc__, passes=2, seconds=2)
