"""Requests of 10 MiB, one at a time: by id, with the bytes inserted, and with inline images.

``python -m bench.large_bodies`` sends each to the gateway without the plugin and to a route with
it, in turn, and prints what the plugin adds, and how much of the request reached the model.
"""

import base64
import functools
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx

from bench.processes import group_peak_bytes, reset_group_peaks
from bench.report import Options, Spread, Table, in_turn, run
from bench.running_gateway import JSON, PLAIN, Gateway, chat, image, running_gateway
from tests.support.pictures import large_picture

MIB = 1024 * 1024
IMAGES = 10  # of a MiB each, in a request with inline images
ROUTES = {
    "bytes": {"resolve_as": "data_url"},
    "store": {"inline": "store"},
}


@dataclass(frozen=True, slots=True)
class Sent:
    """One request in one pass."""

    milliseconds: float
    sent_bytes: int
    received_bytes: int  # by the model
    peak_mib: float  # of the gateway and its plugin server


def measure(options: Options) -> list[Table]:
    """Send each kind in turn."""
    mib = 20_000 if options.quick else MIB
    with (
        running_gateway(ROUTES) as gateway,
        httpx.Client(base_url=gateway.url, timeout=120, trust_env=False) as client,
    ):
        usual, prose = "/v1/chat/completions", "The model says what it sees, in many words. "
        small, large = gateway.upload(), gateway.upload(large_picture(10 * mib))
        conversation = _encoded(chat(image(small), text=prose * (10 * mib // len(prose))))
        by_id, again = _encoded(chat(image(large))), _inline(mib)
        new = (_inline(mib) for _ in itertools.count())
        _send(client, gateway, "/store/chat/completions", again)
        bodies: dict[str, tuple[str, Iterator[bytes] | bytes]] = {
            "no plugin, 10 MiB of prose": (PLAIN, conversation),
            "10 MiB of prose, 1 id": (usual, conversation),
            "1 id, 10 MiB put in": ("/bytes/chat/completions", by_id),
            "no plugin, 10 inline images": (PLAIN, again),
            "10 inline images, not stored": (usual, again),
            "10 inline images, new": ("/store/chat/completions", new),
            "10 inline images, again": ("/store/chat/completions", again),
            "32 MiB made to be slow, 1 id": (usual, _slow(small, 32 * mib)),
        }
        sides: dict[str, Callable[[], Sent]] = {
            name: functools.partial(_send, client, gateway, path, body)
            for name, (path, body) in bodies.items()
        }
        taken = in_turn(sides, options.passes)
    return [_table(taken, gateway.name)]


def _inline(mib: int) -> bytes:
    """A request with 10 new inline images of a MiB each."""
    images = [base64.b64encode(large_picture(mib)).decode() for _ in range(IMAGES)]
    return _encoded(chat(*(image(f"data:image/bmp;base64,{each}") for each in images)))


def _slow(media_id: str, size: int) -> bytes:
    """A request with the most that is accepted of everything slow: objects, members, duplicate
    keys, strings that look like ids, and escapes."""
    parts = min(90_000, size // 400)
    text = json.dumps(
        {
            "model": "m",
            "messages": [{"role": "user", "content": [image(media_id)]}],
            "objects": [dict.fromkeys("abcd", 1)] * parts,
            "look-alikes": [f"jan_{number}" for number in range(parts // 5)],
        }
    )
    twice = f'{{"user":"{media_id}","user":"u",{text[1:-1]},"escapes":"'
    return (twice + "\\n" * ((size - len(twice)) // 2 - 1) + '"}').encode()


def _encoded(body: object) -> bytes:
    return json.dumps(body).encode()


def _send(client: httpx.Client, gateway: Gateway, path: str, body: Iterator[bytes] | bytes) -> Sent:
    content = body if isinstance(body, bytes) else next(body)
    group = gateway.stack.gateway.pid
    reset_group_peaks(group)
    start = time.perf_counter()
    answer = client.post(path, content=content, headers={**gateway.headers, **JSON})
    milliseconds = (time.perf_counter() - start) * 1000
    answer.raise_for_status()
    received = int(answer.headers["X-Received-Bytes"])
    return Sent(milliseconds, len(content), received, group_peak_bytes(group) / MIB)


def _table(taken: dict[str, list[Sent]], gateway: str) -> Table:
    rows, base = [], 0.0
    for name, passes in taken.items():
        time_taken = Spread.of(each.milliseconds for each in passes)
        if name.startswith("no plugin"):
            base = time_taken.median
        share = passes[-1].received_bytes / passes[-1].sent_bytes
        rows.append(
            [
                name,
                f"{time_taken:,.0f}",
                f"{time_taken.median - base:+,.0f}",
                f"{passes[-1].sent_bytes:,}",
                f"{share:.1%}" if share < 2 else f"{passes[-1].received_bytes:,} B",
                f"{Spread.of(each.peak_mib for each in passes).median:,.0f}",
            ]
        )
    columns = ["request", "ms", "added, ms", "sent, B", "reached the model", "peak, MiB"]
    title = f"Through {gateway} ({os.cpu_count()} cores), one at a time: median (least to most)."
    return Table(columns, rows, title)


if __name__ == "__main__":
    run("large_bodies", measure, __doc__, passes=5, seconds=0)
