"""What a plugin server does under load: events a second, and its processor time for one."""

from dataclasses import dataclass

from bench.processes import Processes
from tests.support.kong_driver import PluginServerProcess
from tests.support.kong_load import Script, run_load


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one event."""

    rate: float
    """Events a second: shaken by whatever else the machine does."""
    processor_us: float
    """Processor time of the plugin server alone, µs: the figure that stands."""


def cost_of(
    server: PluginServerProcess,
    instance: int,
    *scripts: Script,
    connections: int,
    seconds: float,
) -> Cost:
    """Load ``server`` for ``seconds`` with events as ``scripts`` have them."""
    processes = Processes(server.pid)
    before = processes.cpu_seconds()
    rate = run_load(server.path, instance, *scripts, connections=connections, seconds=seconds)
    return Cost(rate, (processes.cpu_seconds() - before) / (rate * seconds) * 1e6)
