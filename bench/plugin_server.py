"""Events a second: the project's plugin server against kong-pdk's, in both of its modes.

``python -m bench.plugin_server`` starts all three with the same handler of five PDK calls
(`bench.five_calls`) and loads them in turn over 8 connections.
"""

import functools
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.command import Options, run
from bench.figures import Spread, in_turn
from bench.report import Result, Table
from bench.served import Cost, cost_of
from tests.support.kong_driver import Binary, KongDriver, multi_map, running_plugin_server
from tests.support.kong_load import Script

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


def measure(options: Options) -> Result:
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
            sides[side] = functools.partial(
                cost_of,
                server,
                instance,
                SCRIPT,
                connections=CONNECTIONS,
                seconds=options.seconds,
            )
        taken = in_turn(sides, options.passes)
    return _result(taken)


def _result(taken: dict[str, list[Cost]]) -> Result:
    rates = {side: Spread.of(cost.rate for cost in costs) for side, costs in taken.items()}
    processor = {side: Spread.of(c.processor_us for c in costs) for side, costs in taken.items()}
    rows = [
        [
            side,
            f"{rates[side]:,.0f}",
            f"{rates[OURS].median / rates[side].median:.1f}×",
            f"{processor[side]:.0f}",
            f"{processor[side].median / processor[OURS].median:.1f}×",
        ]
        for side in taken
    ]
    table = Table(
        ["plugin server", "events/s", "ours is", "µs CPU/event", "of ours"],
        rows,
        "Five PDK calls an event, 8 connections: median (least to most) of the passes.",
    )
    figures = {
        side: {"rate": rates[side].as_json(), "processor_us": processor[side].as_json()}
        for side in taken
    }
    return Result("plugin_server", [table], figures)


if __name__ == "__main__":
    run(measure, __doc__, passes=5, seconds=2)
