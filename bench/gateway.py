"""Measures what the gateway adds to a request: from the bare model to ids that are not cached.

``python -m bench.gateway`` loads a gateway with wrk over one connection and over 16.
"""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass

from bench.processes import group_cpu_seconds
from bench.report import Options, Spread, Table, in_turn, run
from bench.running_gateway import JSON, PLAIN, Gateway, chat, image, running_gateway
from bench.wrk import Load, Speed, drive

CONNECTIONS = 16
COLD_BODIES = 8 * CONNECTIONS
BODY_BYTES = 2048
DIRECT, NO_PLUGIN = "model, direct", "gateway without the plugin"


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one side in one pass."""

    alone: Speed
    busy: Speed
    processor_us: float  # of the gateway and its plugin server for one request, at 16 connections


def measure(options: Options) -> list[Table]:
    """Load each side in turn."""
    with running_gateway({"cold": {"url_cache_size": 0}}) as gateway:
        loads = _loads(gateway, 8 if options.quick else COLD_BODIES)
        if options.quick:
            loads = {name: loads[name] for name in (DIRECT, NO_PLUGIN, "1 id, cached")}
        sides = {
            name: functools.partial(_measured, load, gateway, options.seconds)
            for name, load in loads.items()
        }
        for side in sides.values():
            side()  # a warm-up: it starts instances and fills the caches of tokens and URLs
        taken = in_turn(sides, options.passes)
    return [_table(taken, gateway.name)]


def _loads(gateway: Gateway, count: int) -> dict[str, Load]:
    ids = [gateway.upload() for _ in range(count)]
    headers = {**gateway.headers, **JSON}

    def bodies(per_body: int, different: int = 1) -> Sequence[bytes]:
        return [
            _body([ids[(first + at) % len(ids)] for at in range(per_body)])
            for first in range(0, different * max(1, per_body), max(1, per_body))
        ]

    def to(path: str, sent: Sequence[bytes], host: str = gateway.url) -> Load:
        return Load(f"{host}{path}", headers, sent)

    usual, cold = "/v1/chat/completions", "/cold/chat/completions"
    return {
        DIRECT: to(usual, bodies(0), gateway.upstream),
        NO_PLUGIN: to(PLAIN, bodies(0)),
        "no id": to(usual, bodies(0)),
        "1 id, cached": to(usual, bodies(1)),
        "8 ids, cached": to(usual, bodies(8)),
        "1 id, cold": to(cold, bodies(1, count)),
        "8 ids, cold": to(cold, bodies(8, count // 8)),
    }


def _body(ids: Sequence[str]) -> bytes:
    parts = [image(media_id) for media_id in ids]
    least = len(json.dumps(chat(*parts, text="")))
    prose = ("The model looks at the picture, then it says what it sees. " * 40)[
        : max(0, BODY_BYTES - least)
    ]
    return json.dumps(chat(*parts, text=prose)).encode()


def _measured(load: Load, gateway: Gateway, seconds: float) -> Figures:
    alone = drive(load, gateway.folder, connections=1, seconds=seconds / 2)
    before = group_cpu_seconds(gateway.stack.gateway.pid)
    busy = drive(load, gateway.folder, connections=CONNECTIONS, seconds=seconds)
    used = group_cpu_seconds(gateway.stack.gateway.pid) - before
    return Figures(alone, busy, used / (busy.rate * max(1, round(seconds))) * 1e6)


def _table(taken: dict[str, list[Figures]], gateway: str) -> Table:
    alone = {name: Spread.of(f.alone.median_us for f in each) for name, each in taken.items()}
    rate = {name: Spread.of(f.busy.rate for f in each) for name, each in taken.items()}
    rows = [
        [
            name,
            f"{alone[name]:,.0f}",
            f"{alone[name].median - alone[NO_PLUGIN].median:+,.0f}",
            f"{rate[name]:,.0f}",
            f"{rate[name].median / rate[NO_PLUGIN].median:.2f}",
            f"{Spread.of(f.processor_us for f in taken[name]):,.0f}" if name != DIRECT else "",
        ]
        for name in taken
    ]
    columns = [
        *("request", "µs at 1 connection", "over no plugin"),
        *("req/s at 16", "of no plugin", "gateway's µs CPU"),
    ]
    return Table(columns, rows, f"Through {gateway}, bodies of 2 KB: median (least to most).")


if __name__ == "__main__":
    run("gateway", measure, __doc__, passes=3, seconds=2)
