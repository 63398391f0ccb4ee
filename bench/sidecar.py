"""The sidecar's requests a second on PostgreSQL and Ceph, with two workers and 16 connections.

``python -m bench.sidecar`` starts the database, the S3 service and ``jan-media serve``, loads each
kind of request in turn with wrk, several passes over, and prints medians and spread. Beside the
rate stands the processor time that one request costs the sidecar's own processes, the services
and the load, since that is what remains true on a machine that others use too, and the rate that
two cores allow by it. ``--beside DIR`` measures the sidecar of another source tree too, on the same
services, the two in turn. ``bench.sidecar_memory`` measures large bodies.
"""

import argparse
import base64
import io
import json
import os
import random
import re
import resource
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgpack
from PIL import Image

from bench.processes import Processes
from tests.support import ceph, postgres
from tests.support.sidecar import RunningSidecar, running_sidecar

CONNECTIONS = 16
WORKERS = 2
USER = {"X-Jan-User-Id": "bench", "X-Jan-Issuer": "https://issuer.test"}
JSON = {"Content-Type": "application/json"}
NEW_BYTES = 24  # of an image, which make it one that nobody has uploaded


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request, as a script for wrk."""

    name: str
    url: str
    script: str
    peer: int | None = None  # requests a second of the compiled peer on two cores
    peer_tuned: int | None = None


@dataclass(slots=True)
class Figures:
    """What the passes have measured of one kind."""

    rates: list[float] = field(default_factory=list)  # requests a second
    milliseconds: list[float] = field(default_factory=list)  # median latency
    # µs for one request: of the sidecar, of PostgreSQL, of Ceph and of wrk.
    processor: list[float] = field(default_factory=list)
    database: list[float] = field(default_factory=list)
    storage: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)

    def all_processor(self) -> list[float]:
        """µs of everybody for one request."""
        parties = zip(self.processor, self.database, self.storage, self.load, strict=True)
        return list(map(sum, parties))


@dataclass(frozen=True, slots=True)
class Services:
    """A database and an S3 service, each started here."""

    database: postgres.PostgresServer
    s3: ceph.Ceph

    def database_seconds(self) -> float:
        """Processor time of the server and all its sessions so far."""
        return Processes(self.database.pid).cpu_seconds(ended=True)

    def s3_seconds(self) -> float:
        """Processor time of all daemons so far."""
        return sum(Processes(pid).cpu_seconds() for pid in self.s3.pids())


@dataclass(frozen=True, slots=True)
class Side:
    """A running sidecar, the kinds of request made for it, and what was measured."""

    name: str
    sidecar: RunningSidecar
    folder: Path
    kinds: dict[str, Kind]
    figures: dict[str, Figures]


def main() -> None:
    """Run the bench and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="of one kind in one pass")
    parser.add_argument("--only", default="", help="kinds whose name holds this")
    parser.add_argument("--beside", type=Path, help="another source tree of the project")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    flags = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jan-bench-")))
        services = stack.enter_context(running_services())
        trees = {"": None} | ({"beside": flags.beside} if flags.beside else {})
        sides = [
            stack.enter_context(running_side(name, services, folder / f"side{name}", tree))
            for name, tree in trees.items()
        ]
        names = [name for name in sides[0].kinds if flags.only in name]
        for _ in range(flags.passes):
            for name in names:
                for side in sides:
                    kind, figures = side.kinds[name], side.figures[name]
                    measure(kind, side.sidecar, side.folder, flags.seconds, figures, services)
    for side in sides:
        print_table(side, names)
    print("2 cores: what the processor time of all allows on two cores and nobody else on them")
    print(f"load at the end {os.getloadavg()[0]:.1f}")
    if flags.json:
        flags.json.write_text(json.dumps(as_json(sides[0], names), indent=2) + "\n")


@contextmanager
def running_services() -> Iterator[Services]:
    """PostgreSQL and Ceph RGW."""
    with postgres.running() as database, ceph.running() as s3:
        yield Services(database, s3)


@contextmanager
def running_side(
    name: str, services: Services, folder: Path, tree: Path | None = None
) -> Iterator[Side]:
    """A sidecar, if given that of another source tree, with its own database and bucket."""
    folder.mkdir()
    with sidecar_on(services, folder, tree) as sidecar:
        kinds = {kind.name: kind for kind in kinds_of(sidecar, folder)}
        yield Side(name, sidecar, folder, kinds, {kind: Figures() for kind in kinds})


@contextmanager
def sidecar_on(
    services: Services, folder: Path, tree: Path | None, /, **settings: str
) -> Iterator[RunningSidecar]:
    """A sidecar with two workers on these services."""
    with running_sidecar(
        folder / "sidecar",
        tree / "sidecar" if tree else None,
        WORKERS=str(WORKERS),
        DATABASE_URL=services.database.new_database(),
        STORAGE_BACKEND="s3",
        S3_ENDPOINT=services.s3.endpoint,
        S3_BUCKET=services.s3.new_bucket(),
        S3_REGION=ceph.REGION,
        S3_ACCESS_KEY=ceph.ACCESS_KEY,
        S3_SECRET_KEY=ceph.SECRET_KEY,
        S3_USE_PATH_STYLE="true",
        **settings,
    ) as sidecar:
        yield sidecar


def kinds_of(sidecar: RunningSidecar, folder: Path) -> list[Kind]:
    """Every kind of request, with the media that it needs uploaded."""
    with httpx.Client(base_url=sidecar.public_url, headers=USER, timeout=30) as http:
        ids = []
        for _ in range(256):
            answer = http.post("/v1/media", content=upload_json(picture()), headers=JSON)
            ids.append(answer.raise_for_status().json()["id"])
    known = upload_json(picture())
    media, internal = f"{sidecar.public_url}/v1/media", f"{sidecar.internal_url}/internal/resolve"

    def posted(name: str, bodies: list[bytes], content_type: str = "application/json") -> str:
        file = folder / f"{name.replace(' ', '-')}.body"
        for number, body in enumerate(bodies, start=1):
            file.with_suffix(f".{number}").write_bytes(body)
        fields = {"headers": _headers(content_type), "file": file.with_suffix("")}
        return _POST % (fields | {"count": len(bodies)})

    def some(count: int) -> Iterator[list[str]]:
        """Different choices of ids, so that what is asked for at the same time differs."""
        return (random.sample(ids, count) for _ in range(64))

    def resolve(name: str, count: int, peer: int, tuned: int) -> Kind:
        script = posted(name, list(map(chat_payload, some(count))))
        return Kind(name, f"{media}/resolve", script, peer, tuned)

    def cold(count: int) -> Kind:
        name = f"internal resolve, {count} {'ids' if count > 1 else 'id'}"
        bodies: list[bytes] = [msgpack.packb({"ids": asked}) for asked in some(count)]
        return Kind(name, internal, posted(name, bodies, "application/msgpack"))

    known_name, new_name = "upload, known 50 KB image", "upload, new 50 KB image"
    return [
        resolve("resolve, 1 id in 2 KB", 1, 2900, 6400),
        resolve("resolve, 8 ids in 2 KB", 8, 1300, 1400),
        Kind(
            "presign",
            media,
            _PRESIGN % (_headers(None), ", ".join(map(json.dumps, ids))),
            3600,
            9300,
        ),
        Kind(known_name, media, posted(known_name, [known]), 1200, 2200),
        Kind(
            new_name, media, posted(new_name, [known]) + _RENEW % _place_of_comment(known), 430, 460
        ),
        *map(cold, (1, 8, 64)),
    ]


def measure(
    kind: Kind,
    sidecar: RunningSidecar,
    folder: Path,
    seconds: int,
    figures: Figures,
    services: Services | None = None,
) -> None:
    """Load the sidecar with one kind and note what it did, and what it cost the services.

    Raises if an answer was an error.
    """
    script = folder / "load.lua"
    script.write_text(kind.script + _REPORT)
    parties = (
        Processes(sidecar.process.pid).cpu_seconds,
        services.database_seconds if services else float,
        services.s3_seconds if services else float,
        _seconds_of_load,
    )
    before = [party() for party in parties]
    done = subprocess.run(  # noqa: S603
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script, kind.url],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"LC_ALL": "C"},
    )
    spent = [party() - earlier for party, earlier in zip(parties, before, strict=True)]
    found = re.search(r"REPORT (\d+) (\d+) (\d+) (\d+)", done.stdout)
    if found is None:
        raise RuntimeError(done.stdout + done.stderr)
    requests, errors, took, median = map(int, found.groups())
    if errors or not requests:
        raise RuntimeError(f"{kind.name}: {errors} of {requests} failed\n{sidecar.log[-2000:]}")
    figures.rates.append(requests / took * 1e6)
    figures.milliseconds.append(median / 1000)
    columns = (figures.processor, figures.database, figures.storage, figures.load)
    for column, seconds_spent in zip(columns, spent, strict=True):
        column.append(seconds_spent / requests * 1e6)


def _seconds_of_load() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def print_table(side: Side, names: list[str]) -> None:
    """Print medians and spread, a line for each kind."""
    print(f"{side.name:<28}{'req/s':>7}{'least..most':>14}{'p50 ms':>8}{'µs CPU':>8}", end="")
    print(f"{'database':>9}{'S3':>7}{'load':>6}{'2 cores':>9}{'peer':>7}{'tuned':>7}")
    for name in names:
        kind, each = side.kinds[name], side.figures[name]
        spread = f"{min(each.rates):.0f}..{max(each.rates):.0f}"
        allowed = 2e6 / statistics.median(each.all_processor())
        print(
            f"{name:<28}{statistics.median(each.rates):>7.0f}{spread:>14}"
            f"{statistics.median(each.milliseconds):>8.1f}"
            f"{statistics.median(each.processor):>8.0f}{statistics.median(each.database):>9.0f}"
            f"{statistics.median(each.storage):>7.0f}{statistics.median(each.load):>6.0f}"
            f"{allowed:>9.0f}{kind.peer or '':>7}{kind.peer_tuned or '':>7}"
        )


def as_json(side: Side, names: list[str]) -> dict[str, dict[str, object]]:
    """The figures of each kind by its name."""
    return {
        name: {
            "requests_per_second": side.figures[name].rates,
            "cpu_microseconds": side.figures[name].processor,
            "database_cpu_microseconds": side.figures[name].database,
            "storage_cpu_microseconds": side.figures[name].storage,
            "median_milliseconds": side.figures[name].milliseconds,
            "peer": side.kinds[name].peer,
            "peer_tuned": side.kinds[name].peer_tuned,
        }
        for name in names
    }


def picture(size: int = 50_000) -> bytes:
    """A JPEG of about ``size`` bytes with a comment of its own."""
    side = int((size / 1.45) ** 0.5)
    image = Image.frombytes("RGB", (side, side), os.urandom(side * side * 3))
    out = io.BytesIO()
    image.save(out, "JPEG")
    comment = b"\xff\xfe" + (NEW_BYTES + 2).to_bytes(2) + os.urandom(NEW_BYTES)
    return out.getvalue()[:2] + comment + out.getvalue()[2:]


def upload_json(data: bytes, mime: str = "image/jpeg") -> bytes:
    """An upload's body with the bytes as a data URL."""
    encoded = base64.b64encode(data).decode()
    source = {"type": "data_url", "data_url": f"data:{mime};base64,{encoded}"}
    return json.dumps({"source": source}).encode()


def chat_payload(ids: list[str], size: int = 2048) -> bytes:
    """A chat request of about ``size`` bytes with an image part for each id, to be resolved."""
    content: list[dict[str, object]] = [{"type": "text", "text": ""}]
    content += [{"type": "image_url", "image_url": {"url": id}} for id in ids]
    body = {"payload": {"model": "vision", "messages": [{"role": "user", "content": content}]}}
    content[0]["text"] = ("What is on these? " * size)[: size - len(json.dumps(body))]
    return json.dumps(body).encode()


def _place_of_comment(body: bytes) -> tuple[int, int]:
    """Where the comment's base64 begins in an upload, and how long it is."""
    # The comment comes after the start of image and its own head: 6 bytes, 8 characters.
    return body.index(b"base64,") + len("base64,") + 8, NEW_BYTES * 4 // 3


def _headers(content_type: str | None) -> str:
    fields = USER | ({"Content-Type": content_type} if content_type else {})
    return ", ".join(f'["{name}"] = "{value}"' for name, value in fields.items())


_PRESIGN = """
wrk.headers = {%s}
local ids = {%s}
function request()
  return wrk.format(nil, "/v1/media/" .. ids[math.random(#ids)] .. "/presign")
end
"""
_POST = """
wrk.method = "POST"
wrk.headers = {%(headers)s}
local bodies = {}
for number = 1, %(count)d do
  local file = io.open("%(file)s." .. number, "rb")
  bodies[number] = file:read("*a")
  file:close()
end
wrk.body = bodies[1]
function request()
  return wrk.format(nil, nil, nil, bodies[math.random(#bodies)])
end
"""
_RENEW = """
local first, length = %d, %d
local before, after = wrk.body:sub(1, first), wrk.body:sub(first + length + 1)
local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local random = io.open("/dev/urandom", "rb")
function request()
  local fresh = random:read(length):gsub(".", function (byte)
    local place = byte:byte() %% 64 + 1
    return alphabet:sub(place, place)
  end)
  return wrk.format(nil, nil, nil, before .. fresh .. after)
end
"""
_REPORT = """
function done(summary, latency)
  local errors = summary.errors
  print(string.format("REPORT %d %d %d %d", summary.requests,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration, latency:percentile(50)))
end
"""

if __name__ == "__main__":
    main()
