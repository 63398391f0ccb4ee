"""The command line: a process that serves one plugin, as kong-pdk's dedicated servers do."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ServedPlugin:
    """What Kong asks about a plugin before it runs, and how to load its class."""

    name: str
    version: str
    priority: int
    schema: list[dict[str, Any]]
    """The fields of ``config``, as Kong's schema language has them."""
    load: Callable[[], type]
    """Returns the class. Only a process that serves calls it, since it imports much more."""

    def info(self) -> dict[str, Any]:
        """Return what Kong's query command prints, as kong-pdk's ``get_plugin_info`` has it."""
        config = {"config": {"type": "record", "fields": self.schema}}
        return {
            "Name": self.name,
            "Phases": ["access"],
            "Priority": self.priority,
            "Version": self.version,
            "Schema": {"name": self.name, "fields": [config]},
        }


def run(plugin: ServedPlugin, argv: Sequence[str] | None = None) -> None:
    """Run the command line: print the plugin's description, or serve until a signal to stop."""
    flags = _parse(plugin, argv)
    if flags.dump:
        sys.stdout.write(json.dumps([plugin.info()]) + "\n")
    else:
        _serve(plugin, flags)


def _serve(plugin: ServedPlugin, flags: argparse.Namespace) -> None:
    # Kong runs the query command before it starts, and must not wait for these imports.
    from jan_media import tracing
    from kong_pdk import module as kong_pdk_module

    from jan_media_plugin.metrics import show
    from jan_media_plugin.server.listener import serve
    from jan_media_plugin.server.log import set_up
    from jan_media_plugin.server.plugin_server import Limits, LoopPluginServer

    set_up(flags.log_format, "DEBUG" if flags.verbose else "INFO")
    limits = Limits(
        time_limit=flags.time_limit,
        max_events=flags.max_events,
        abandoned_after=flags.abandoned_after,
        kong_read_timeout=flags.kong_read_timeout,
    )
    server = LoopPluginServer(limits, f"{plugin.name} version {plugin.version}")
    attributes = {
        "Plugin": plugin.load(),
        "Schema": plugin.schema,
        "version": plugin.version,
        "priority": plugin.priority,
    }
    # kong-pdk reads the age of the first folder in sys.path, and fails if that does not exist: with
    # PYTHONSAFEPATH it is the zip file of the standard library, which few installations have.
    kong_pdk_module.FILEPATH = __file__
    module = kong_pdk_module.Module(plugin.name, module=type("module", (), attributes))
    server.plugins[plugin.name] = module
    if flags.metrics_listen is not None:
        show(*flags.metrics_listen)
    tracing.start("jan-media-plugin")
    serve(server, flags.prefix / flags.socket_name, flags.listen_queue_size)
    tracing.stop()


def _parse(plugin: ServedPlugin, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=plugin.name,
        description=f"The plugin server of {plugin.name} for Kong.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    flag = parser.add_argument
    flag("-p", "--kong-prefix", dest="prefix", type=Path, default=Path("/usr/local/kong"))
    flag("--socket-name", default=f"{plugin.name}.sock", help="name of the socket in the prefix")
    flag("--dump", "-dump", action="store_true", help="print the plugin's description and exit")
    flag("--version", action="version", version=plugin.version)
    flag("-v", "--verbose", action="store_true", help="log a line for each request")
    flag("--log-format", choices=("text", "json"), default="text", help="lines, or JSON objects")
    flag("--listen-queue-size", type=int, default=4096, help="backlog of the socket")
    flag("--metrics-listen", type=_address, default="off", help="host:port, for Prometheus")
    flag("--time-limit", type=_seconds, default=10.0, help="that an event may wait or run")
    flag("--max-events", type=int, default=4096, help="events in flight; beyond: 503")
    flag(
        "--abandoned-after",
        type=_seconds,
        default=300.0,
        help="seconds that Kong may take over one PDK call before its event is dropped",
    )
    flag(
        "--kong-read-timeout",
        type=_seconds,
        default=60.0,
        help="Kong's lua_socket_read_timeout: nobody waits for answers older than this",
    )
    flags = parser.parse_args(argv)
    if not flags.dump and not flags.prefix.is_dir():
        parser.error(f"{flags.prefix} is not a folder: the socket cannot be made there")
    if flags.time_limit >= flags.kong_read_timeout:
        parser.error("--time-limit must be below --kong-read-timeout: Kong would not wait so long")
    return flags


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError
    return seconds


def _address(text: str) -> tuple[str, int] | None:
    if text == "off":
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError
    return host.strip("[]"), int(port)
