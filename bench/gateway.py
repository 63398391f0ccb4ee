"""What the gateway adds to a request: from the model alone to ids that nobody has asked for yet.

``python -m bench.gateway`` starts sidecar, gateway and an upstream that answers at once, and loads
them with wrk (or a driver of its own) over one connection and over 16. The gateway is devkong, or
the Kong that KONG_BIN names: then the figures are those of production.
"""

import functools
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench import process_group
from bench.chat import chat_body
from bench.command import Options, run
from bench.figures import Spread, in_turn
from bench.http_load import Load, Speed, has_wrk, load_from_here, load_with_wrk
from bench.media import log_in, upload_pictures
from bench.report import Result, Table
from bench.upstream import running_upstream
from demo.addresses import free_ports
from demo.kong_settings import ROOT
from demo.stack import Stack, chosen_kong

CONNECTIONS = 16
COLD_BODIES = 8 * CONNECTIONS
DIRECT = "upstream, direct"
PLAIN = "gateway without the plugin"


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one side in one pass."""

    alone: Speed
    busy: Speed
    processor_us: float
    """Of the gateway and its plugin server for one request, at 16 connections."""


def measure(options: Options) -> Result:
    """Load each side in turn."""
    kong = chosen_kong(os.environ)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jan-bench-")))
        upstream = stack.enter_context(running_upstream())
        kong_yml = folder / "kong.yml"
        kong_yml.write_text(kong_yml_of_bench((ROOT / "kong.yml").read_text("utf-8")), "utf-8")
        parts = stack.enter_context(
            Stack(folder / "parts", free_ports(), kong, upstream, kong_yml=kong_yml)
        )
        loads = _loads(parts.base_url, upstream)
        with_wrk = has_wrk() and not options.quick
        sides = {
            name: functools.partial(_measured, load, parts, folder, options.seconds, with_wrk)
            for name, load in loads.items()
        }
        for side in sides.values():
            side()  # instances, tokens and URLs are known from here on
        taken = in_turn(sides, options.passes)
    return _result(taken, "Kong" if kong else "devkong", "wrk" if with_wrk else "its own driver")


def kong_yml_of_bench(written: str) -> str:
    """kong.yml and two routes more: one without the plugin, and one whose every id is cold."""
    config: dict[str, Any] = yaml.safe_load(written)
    (llm,) = (each for each in config["services"] if each["name"] == "jan-llm")
    (route,) = llm["routes"]
    # The load comes from one guest, whose limit is not what is measured.
    config["plugins"] = [each for each in config["plugins"] if "consumer" not in each]
    plain = {"name": "plain", "paths": ["/plain/"], "strip_path": True}
    plugins = [
        {**each, "config": {**each["config"], "url_cache_size": 0}}
        if each["name"] == "jan-media"
        else each
        for each in route["plugins"]
    ]
    cold = {**plain, "name": "cold", "paths": ["/cold/"], "plugins": plugins}
    llm["routes"] += [plain, cold]
    return yaml.safe_dump(config, sort_keys=False, width=1000)


def _loads(gateway: str, upstream: str) -> dict[str, Load]:
    token = log_in(f"{gateway}/llm/auth/guest-login")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    ids = upload_pictures(
        f"{gateway}/media/v1/media", headers={"Authorization": f"Bearer {token}"}, count=COLD_BODIES
    )
    path = "v1/chat/completions"

    def of(count: int, first: int = 0) -> bytes:
        return chat_body([ids[(first + at) % len(ids)] for at in range(count)])

    def to(url: str, *bodies: bytes) -> Load:
        return Load(url, headers, bodies)

    cold = f"{gateway}/cold/chat/completions"
    return {
        DIRECT: to(f"{upstream}/{path}", of(0)),
        PLAIN: to(f"{gateway}/plain/chat/completions", of(0)),
        "plugin, no id": to(f"{gateway}/{path}", of(0)),
        "plugin, 1 id, cached": to(f"{gateway}/{path}", of(1)),
        "plugin, 8 ids, cached": to(f"{gateway}/{path}", of(8)),
        "plugin, 1 id, cold": to(cold, *(of(1, at) for at in range(COLD_BODIES))),
        "plugin, 8 ids, cold": to(cold, *(of(8, at) for at in range(0, COLD_BODIES, 8))),
    }


def _measured(load: Load, parts: Stack, folder: Path, seconds: float, with_wrk: bool) -> Figures:
    drive: Callable[..., Speed] = (
        functools.partial(load_with_wrk, folder=folder) if with_wrk else load_from_here
    )
    alone = drive(load, connections=1, seconds=seconds / 2)
    before = process_group.cpu_seconds(parts.gateway.pid)
    busy = drive(load, connections=CONNECTIONS, seconds=seconds)
    used = process_group.cpu_seconds(parts.gateway.pid) - before
    return Figures(alone, busy, used / (busy.rate * seconds) * 1e6)


def _result(taken: dict[str, list[Figures]], gateway: str, driver: str) -> Result:
    rows, figures = [], {}
    alone = {name: Spread.of(f.alone.median_us for f in each) for name, each in taken.items()}
    rate = {name: Spread.of(f.busy.rate for f in each) for name, each in taken.items()}
    processor = {name: Spread.of(f.processor_us for f in each) for name, each in taken.items()}
    for name in taken:
        rows.append(
            [
                name,
                f"{alone[name]:,.0f}",
                f"{alone[name].median - alone[DIRECT].median:+,.0f}",
                f"{alone[name].median - alone[PLAIN].median:+,.0f}",
                f"{rate[name]:,.0f}",
                f"{1e6 / rate[name].median - 1e6 / rate[DIRECT].median:+,.0f}",
                f"{rate[name].median / rate[PLAIN].median:.2f}",
                f"{processor[name]:,.0f}" if name != DIRECT else "",
            ]
        )
        figures[name] = {
            "latency_us": alone[name].as_json(),
            "rate": rate[name].as_json(),
            "processor_us": processor[name].as_json(),
        }
    table = Table(
        [
            *("request", "µs at 1 connection", "over direct", "over no plugin"),
            *("req/s at 16", "µs each over direct", "of no plugin", "gateway's µs CPU"),
        ],
        rows,
        f"Through {gateway}, loaded by {driver}, bodies of 2 KB.",
    )
    return Result("gateway", [table], {"gateway": gateway, "sides": figures})


if __name__ == "__main__":
    run(measure, __doc__, passes=3, seconds=2)
