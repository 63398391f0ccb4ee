"""Events a second: the project's plugin server against kong-pdk's, in both of its modes.

``python -m bench.plugin_server`` starts all three with the same handler of five PDK calls
(`bench.five_calls`) and loads them in turn over 8 connections.
"""

import functools
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Processes
from bench.report import Options, Spread, Table, in_turn, run
from tests.support.kong_driver import (
    Binary,
    KongDriver,
    PluginServerProcess,
    multi_map,
    running_plugin_server,
)
from tests.support.kong_load import Script, run_load

CONNECTIONS = 8
OURS = "jan_media_plugin"
SIDES = {
    OURS: ["-m", "bench.five_calls"],
    "kong-pdk -g": ["-m", "bench.five_calls", "stock", "-g"],
    "kong-pdk": ["-m", "bench.five_calls", "stock"],
}
HEADERS = multi_map(
    {
        "host": "gateway.example",
        "authorization": "Bearer " + "x" * 600,
        "content-type": "application/json",
        "content-length": "2048",
        "accept": "*/*",
        "user-agent": "wrk",
    }
)
SCRIPT = Script.of(
    ("kong.request.get_headers", "plugin.StepMultiMap", HEADERS),
    ("kong.request.get_raw_body", "plugin.Step", Binary(b"x" * 2048)),
    ("kong.client.authenticate", "plugin.StepCredential", None),
    ("kong.service.request.set_headers", "plugin.Step", None),
    ("kong.ctx.shared.set", "plugin.Step", None),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of events on one server."""

    rate: float  # events a second
    processor_us: float  # per event, of the plugin server only


def measure(options: Options) -> list[Table]:
    """Load the three in turn."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sides = {}
        for number, (side, command) in enumerate(SIDES.items()):
            socket = f"{number}.sock"
            server = stack.enter_context(
                running_plugin_server(folder, [*command, "--socket-name", socket], socket)
            )
            with KongDriver(server.path, plugin="five", connections=1) as kong:
                instance = kong.start_instance({})
            sides[side] = functools.partial(_cost, server, instance, options.seconds)
        return [_table(in_turn(sides, options.passes))]


def _cost(server: PluginServerProcess, instance: int, seconds: float) -> Cost:
    processes = Processes(server.pid)
    before = processes.cpu_seconds()
    rate = run_load(server.path, instance, SCRIPT, connections=CONNECTIONS, seconds=seconds)
    return Cost(rate, (processes.cpu_seconds() - before) / (rate * seconds) * 1e6)


def _table(taken: dict[str, list[Cost]]) -> Table:
    rate = {side: Spread.of(cost.rate for cost in costs) for side, costs in taken.items()}
    processor = {side: Spread.of(c.processor_us for c in costs) for side, costs in taken.items()}
    rows = [
        [
            side,
            f"{rate[side]:,.0f}",
            f"{rate[OURS].median / rate[side].median:.1f}×",
            f"{processor[side]:.0f}",
            f"{processor[side].median / processor[OURS].median:.1f}×",
        ]
        for side in taken
    ]
    columns = ["plugin server", "events/s", "ours is", "µs CPU/event", "of ours"]
    title = "Five PDK calls an event, 8 connections: median (least to most) of the passes."
    return Table(columns, rows, title)


if __name__ == "__main__":
    run("plugin_server", measure, __doc__, passes=5, seconds=2)
