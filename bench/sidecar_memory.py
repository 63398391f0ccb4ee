"""Time and memory of large bodies: the sidecar on PostgreSQL and Ceph, with two workers.

``python -m bench.sidecar_memory`` prints the memory of the sidecar's processes after the start,
uploads new 15 MB images as a data URL and from a URL, then sends a 199 MB body, once with a
Content-Length and once in chunks. Memory is the sum over all processes: in RSS a shared page counts
once for each process, in PSS it is divided among the processes that share it.
"""

import functools
import http.client
import itertools
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from bench.processes import Processes
from bench.report import Options, Spread, Table, in_turn, run
from bench.sidecar import USER, running_services, sidecar_on, upload_json
from tests.support.pictures import large_picture
from tests.support.sidecar import RunningSidecar

MIB = 1024 * 1024
IMAGE = 15_000_000
HUGE = 199_000_000
HEADERS = USER | {"Content-Type": "application/json"}
PEER = {"15 MB image as a data URL": "257 ms, 119 MiB", "199 MB body, announced": "803 MiB"}


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one request."""

    milliseconds: float
    peak: float  # MiB, as RSS
    more: float  # MiB that the request added
    after: float  # MiB, as PSS


def measure(options: Options) -> list[Table]:
    """Send each kind of body in turn."""
    with (
        tempfile.TemporaryDirectory(prefix="jan-bench-") as folder,
        website() as site,
        running_services() as services,
        sidecar_on(services, Path(folder)) as sidecar,
    ):
        for _ in range(4):  # a warm-up of the workers
            _upload(sidecar, large_picture(100_000))
            _upload_from(site, sidecar, large_picture(100_000))
        kinds: dict[str, Callable[[], float]] = {
            "15 MB image as a data URL": lambda: _upload(sidecar, large_picture(IMAGE)),
            "15 MB image from a URL": lambda: _upload_from(site, sidecar, large_picture(IMAGE)),
            "199 MB body, announced": lambda: _send(
                sidecar, _huge(), HEADERS | {"Content-Length": str(HUGE)}, 413
            ),
            "199 MB body, in chunks": lambda: _send(sidecar, _huge(), HEADERS, 413),
        }
        sides = {name: functools.partial(_measured, sidecar, send) for name, send in kinds.items()}
        return [_table(in_turn(sides, options.passes))]


def _measured(sidecar: RunningSidecar, send: Callable[[], float]) -> Figures:
    processes = Processes(sidecar.process.pid)
    processes.reset_peaks()
    before = processes.resident_bytes()
    seconds = send()
    peak = processes.peak_bytes()
    held = processes.proportional_bytes()
    return Figures(seconds * 1000, peak / MIB, (peak - before) / MIB, held / MIB)


def _table(taken: dict[str, list[Figures]]) -> Table:
    rows = [
        [
            name,
            f"{Spread.of(each.milliseconds for each in passes):,.0f}",
            f"{Spread.of(each.peak for each in passes).median:.0f}",
            f"{Spread.of(each.more for each in passes).median:.1f}",
            f"{Spread.of(each.after for each in passes).median:.0f}",
            PEER.get(name, ""),
        ]
        for name, passes in taken.items()
    ]
    columns = ["body", "ms", "peak RSS, MiB", "added, MiB", "PSS after, MiB", "peer"]
    return Table(columns, rows, "Two workers and what else the sidecar runs, all added.")


@contextmanager
def website() -> Iterator["Website"]:
    """Run a web server on loopback, in a thread."""
    with Website() as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield site
        site.shutdown()


class Website(ThreadingHTTPServer):
    """Serves ``page`` at any URL."""

    page = b""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Visit)


class _Visit(BaseHTTPRequestHandler):
    server: Website

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.page)))
        self.end_headers()
        self.wfile.write(self.server.page)

    def log_message(self, format: str, *args: object) -> None:
        return


def _upload(sidecar: RunningSidecar, data: bytes) -> float:
    return _send(sidecar, upload_json(data, "image/bmp"), HEADERS, 200)


def _upload_from(site: Website, sidecar: RunningSidecar, data: bytes) -> float:
    site.page = data
    source = {"type": "remote_url", "url": f"http://127.0.0.1:{site.server_port}/image"}
    return _send(sidecar, json.dumps({"source": source}).encode(), HEADERS, 200)


def _huge() -> Iterator[bytes]:
    head = b'{"source":{"type":"data_url","data_url":"data:image/bmp;base64,'
    piece = b"Qk1B" * 16_384
    return itertools.chain([head], itertools.repeat(piece, (HUGE - len(head)) // len(piece)))


def _send(
    sidecar: RunningSidecar, body: bytes | Iterator[bytes], headers: dict[str, str], status: int
) -> float:
    """Return how many seconds the answer took. Raises RuntimeError for another status."""
    address = urlsplit(sidecar.public_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    since = time.perf_counter()
    try:
        try:
            connection.request("POST", "/v1/media", body, headers)
        except (BrokenPipeError, ConnectionResetError):
            return time.perf_counter() - since  # refused before the whole body was sent
        answered = connection.getresponse().status
    finally:
        connection.close()
    if answered != status:
        raise RuntimeError(f"{answered} where {status} was due\n{sidecar.log[-2000:]}")
    return time.perf_counter() - since


if __name__ == "__main__":
    run("sidecar_memory", measure, __doc__, passes=3, seconds=0)
