"""Events a second: the project's plugin server against kong-pdk's, in both of its modes.

``python -m bench.plugin_server`` starts all three with the same handler of five PDK calls, loads
them in turn over 8 connections, several times, and prints medians, spread and ratios.
"""

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.support.kong_driver import (
    Binary,
    KongDriver,
    PluginServerProcess,
    multi_map,
    running_plugin_server,
)
from tests.support.kong_load import Script, run_load

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


def measure(server: PluginServerProcess, seconds: float, connections: int) -> tuple[float, float]:
    """Load ``server``; return its events a second, and its processor time for one in µs."""
    with KongDriver(server.path, plugin="five", connections=1) as kong:
        instance = kong.start_instance({})
    before = server.cpu_seconds()
    rate = run_load(server.path, instance, SCRIPT, connections=connections, seconds=seconds)
    return rate, (server.cpu_seconds() - before) / (rate * seconds) * 1e6


def main() -> None:
    """Run the bench and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one side in one pass")
    parser.add_argument("--connections", type=int, default=8)
    flags = parser.parse_args()
    figures: dict[str, list[tuple[float, float]]] = {side: [] for side in SIDES}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {
            side: stack.enter_context(
                running_plugin_server(
                    folder, [*command, "--socket-name", f"{number}.sock"], f"{number}.sock"
                )
            )
            for number, (side, command) in enumerate(SIDES.items())
        }
        for _ in range(flags.passes):
            for side, server in servers.items():
                figures[side].append(measure(server, flags.seconds, flags.connections))
    print_table(figures)


def print_table(figures: dict[str, list[tuple[float, float]]]) -> None:
    """Print medians, spread and ratios of medians, a line for each side.

    The last ratio, of processor time, stands where others use the machine too.
    """
    print(f"{'plugin server':<17}{'events/s':>9}{'least..most':>15}", end="")
    print(f"{'ratio':>7}{'µs CPU':>8}{'ratio':>7}")
    our_rate, our_processor = _medians(figures[OURS])
    for side, runs in figures.items():
        rate, processor = _medians(runs)
        spread = f"{min(runs)[0]:.0f}..{max(runs)[0]:.0f}"
        print(
            f"{side:<17}{rate:>9.0f}{spread:>15}{our_rate / rate:>6.1f}×"
            f"{processor:>8.0f}{processor / our_processor:>6.1f}×"
        )


def _medians(runs: list[tuple[float, float]]) -> tuple[float, float]:
    rates, processor = zip(*runs, strict=True)
    return statistics.median(rates), statistics.median(processor)


if __name__ == "__main__":
    main()
