"""Time and memory of large bodies: the sidecar on PostgreSQL and Ceph, with two workers.

``python -m bench.sidecar_memory`` uploads a 15 MB image as a data URL, several times, each of them
new, then offers a 199 MB body, once with its length announced and once in chunks without. Memory
is the peak of all the sidecar's processes, added, and what of it the request made. Linux counts
the pages that the workers share once for each.
"""

import argparse
import http.client
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from bench.processes import Processes
from bench.sidecar import USER, sidecar_on_services, upload_json
from tests.support.pictures import large_picture
from tests.support.sidecar import RunningSidecar

MIB = 1024 * 1024
IMAGE = 15_000_000
HUGE = 199_000_000
HEADERS = USER | {"Content-Type": "application/json"}


def main() -> None:
    """Run the bench and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--passes", type=int, default=5)
    flags = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jan-bench-")))
        sidecar = stack.enter_context(sidecar_on_services(folder))
        for _ in range(4):  # until the workers have opened what they need
            upload(sidecar, large_picture(100_000))
        row = f"{'':<36}{'ms':>7}{'peak MiB':>10}{'more MiB':>10}{'peer':>20}"
        print(row)
        for name, send, peer in (
            ("15 MB image as a data URL", upload_large, "257 ms, 119 MiB"),
            ("199 MB body, length announced", announce_huge, "803 MiB"),
            ("199 MB body, in chunks", stream_huge, "803 MiB"),
        ):
            report(name, sidecar, send, peer, flags.passes)


def report(
    name: str,
    sidecar: RunningSidecar,
    send: Callable[[RunningSidecar], float],
    peer: str,
    passes: int,
) -> None:
    """Print a line of medians."""
    processes = Processes(sidecar.process.pid)
    times, peaks, grown = [], [], []
    for _ in range(passes):
        processes.reset_peaks()
        before = processes.resident_bytes()
        times.append(send(sidecar) * 1000)
        peaks.append(processes.peak_bytes() / MIB)
        grown.append((processes.peak_bytes() - before) / MIB)
    figures = [statistics.median(each) for each in (times, peaks, grown)]
    print(f"{name:<36}{figures[0]:>7.0f}{figures[1]:>10.0f}{figures[2]:>10.1f}{peer:>20}")


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
