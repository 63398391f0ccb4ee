"""Time and memory of large bodies: the sidecar on PostgreSQL and Ceph, with two workers.

``python -m bench.sidecar_memory`` says what the sidecar's three processes hold after the start,
uploads a 15 MB image several times, each of them new, as a data URL and from a URL, then offers a
199 MB body, once with its length announced and once in chunks without. In the end it says what
they hold after some seconds of small uploads and look-ups. ``--beside DIR`` measures the sidecar of
another source tree after that.

Memory is that of all processes, added. In RSS a page that several of them share counts for each, in
PSS it is divided among all that have it. Linux keeps the peak of RSS only; the peak of PSS is
reckoned as PSS afterwards, and what RSS was higher before: what a request frees again nobody
shares. Of libraries that other programs on the machine have loaded too, PSS counts a part; what it
leaves out is in the last column.
"""

import argparse
import http.client
import itertools
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from bench.processes import Processes
from bench.sidecar import (
    USER,
    Figures,
    kinds_of,
    measure,
    running_services,
    sidecar_on,
    upload_json,
)
from tests.support.pictures import large_picture
from tests.support.sidecar import RunningSidecar

MIB = 1024 * 1024
IMAGE = 15_000_000
HUGE = 199_000_000
SECONDS = 2  # of each kind of request, at the end
HEADERS = USER | {"Content-Type": "application/json"}


def main() -> None:
    """Run the bench and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--beside", type=Path, help="another source tree of the project")
    flags = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jan-bench-")))
        site = stack.enter_context(website())
        services = stack.enter_context(running_services())
        trees = {"MiB": None} | ({"beside": flags.beside} if flags.beside else {})
        for name, tree in trees.items():
            side = folder / name
            side.mkdir()
            with sidecar_on(services, side, tree) as sidecar:
                print(f"{name:<36}{'ms':>7}{'RSS':>7}{'more':>7}{'PSS':>7}{'alone':>7}{'peer':>18}")
                measure_side(sidecar, site, side, flags.passes)


def measure_side(sidecar: RunningSidecar, site: "Website", folder: Path, passes: int) -> None:
    """Print a sidecar's table, line by line. ``folder`` is for what the load is made from."""
    report_held("after the start", sidecar)
    for _ in range(4):  # until the workers have opened what they need
        upload(sidecar, large_picture(100_000))
        upload_from(site, sidecar, large_picture(100_000))
    for name, send, peer in (
        ("15 MB image as a data URL", upload_large, "257 ms, 119 MiB"),
        ("15 MB image from a URL", partial(upload_large_from, site), ""),
        ("199 MB body, length announced", announce_huge, "803 MiB"),
        ("199 MB body, in chunks", stream_huge, "803 MiB"),
    ):
        report(name, sidecar, send, peer, passes)
    kinds = kinds_of(sidecar, folder)
    for kind in kinds:
        measure(kind, sidecar, folder, SECONDS, Figures())
    report_held(f"after {len(kinds) * SECONDS} s under load", sidecar)


def report(
    name: str,
    sidecar: RunningSidecar,
    send: Callable[[RunningSidecar], float],
    peer: str,
    passes: int,
) -> None:
    """Print a line of medians: the peaks of a request."""
    processes = Processes(sidecar.process.pid)
    measured = []
    for _ in range(passes):
        processes.reset_peaks()
        before = processes.resident_bytes()
        seconds = send(sidecar)
        peak = processes.peak_bytes()
        freed = peak - processes.resident_bytes()
        measured.append(
            (
                seconds * 1000,
                peak / MIB,
                (peak - before) / MIB,
                (processes.proportional_bytes() + freed) / MIB,
                (processes.alone_bytes() + freed) / MIB,
            )
        )
    milliseconds, *memory = map(statistics.median, zip(*measured, strict=True))
    print_line(name, f"{milliseconds:.0f}", memory, peer)


def report_held(name: str, sidecar: RunningSidecar) -> None:
    """Print a line of what is held now."""
    processes = Processes(sidecar.process.pid)
    held = processes.resident_bytes(), processes.proportional_bytes(), processes.alone_bytes()
    resident, *others = (each / MIB for each in held)
    print_line(name, "", [resident, None, *others], "")


def print_line(name: str, milliseconds: str, memory: Sequence[float | None], peer: str) -> None:
    """Print a line of the table. ``memory`` is in MiB."""
    figures = "".join(f"{'' if each is None else f'{each:.1f}':>7}" for each in memory)
    print(f"{name:<36}{milliseconds:>7}{figures}{peer:>18}", flush=True)


@contextmanager
def website() -> Iterator["Website"]:
    """A web server on loopback, in a thread."""
    with Website() as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield site
        site.shutdown()


class Website(ThreadingHTTPServer):
    """Gives ``page`` for any URL."""

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


def upload_large_from(site: Website, sidecar: RunningSidecar) -> float:
    """Have a new large image fetched; how many seconds the answer took."""
    return upload_from(site, sidecar, large_picture(IMAGE))


def upload_from(site: Website, sidecar: RunningSidecar, data: bytes) -> float:
    """Have an image fetched from ``site``; how many seconds the answer took."""
    site.page = data
    source = {"type": "remote_url", "url": f"http://127.0.0.1:{site.server_port}/image"}
    return _send(sidecar, json.dumps({"source": source}).encode(), HEADERS, 200)


def upload_large(sidecar: RunningSidecar) -> float:
    """Upload a new large image; how many seconds the answer took."""
    return upload(sidecar, large_picture(IMAGE))


def upload(sidecar: RunningSidecar, data: bytes) -> float:
    """Upload an image as a data URL; how many seconds the answer took."""
    return _send(sidecar, upload_json(data, "image/bmp"), HEADERS, 200)


def announce_huge(sidecar: RunningSidecar) -> float:
    """Offer a body that says how large it is."""
    return _send(sidecar, _huge(), HEADERS | {"Content-Length": str(HUGE)}, 413)


def stream_huge(sidecar: RunningSidecar) -> float:
    """Send a body of the same size that does not say so."""
    return _send(sidecar, _huge(), HEADERS, 413)


def _huge() -> Iterator[bytes]:
    head = b'{"source":{"type":"data_url","data_url":"data:image/bmp;base64,'
    piece = b"Qk1B" * 16_384
    return itertools.chain([head], itertools.repeat(piece, (HUGE - len(head)) // len(piece)))


def _send(
    sidecar: RunningSidecar, body: bytes | Iterator[bytes], headers: dict[str, str], status: int
) -> float:
    address = urlsplit(sidecar.public_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    since = time.perf_counter()
    try:
        try:
            connection.request("POST", "/v1/media", body, headers)
        except (BrokenPipeError, ConnectionResetError):
            return time.perf_counter() - since  # refused before all was sent
        answered = connection.getresponse().status
    finally:
        connection.close()
    if answered != status:
        raise RuntimeError(f"{answered} where {status} was due\n{sidecar.log[-2000:]}")
    return time.perf_counter() - since


if __name__ == "__main__":
    main()
