"""A process that serves one plugin, with the command line of kong-pdk's dedicated servers."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jan_media_plugin.server.limits import Limits


@dataclass(frozen=True)
class ServedPlugin:
    """What Kong asks about a plugin before it runs, and how to get at the class that runs."""

    name: str
    version: str
    priority: int
    phases: tuple[str, ...]
    schema: list[dict[str, Any]]
    """The fields of ``config``, as Kong's schema language has them."""
    load: Callable[[], type]
    """Returns the class; called only by a process that serves, since that imports much more."""

    def info(self) -> dict[str, Any]:
        """Return what Kong's query command prints, as kong-pdk's ``get_plugin_info`` has it."""
        config = {"config": {"type": "record", "fields": self.schema}}
        return {
            "Name": self.name,
            "Phases": list(self.phases),
            "Priority": self.priority,
            "Version": self.version,
            "Schema": {"name": self.name, "fields": [config]},
        }


def run(plugin: ServedPlugin, argv: Sequence[str] | None = None) -> None:
    """Do what the command line says: print the plugin's description, or serve until told to end."""
    flags = _parse(plugin, argv)
    if flags.dump:
        sys.stdout.write(json.dumps([plugin.info()]) + "\n")
        return
    _serve(plugin, flags)


def _serve(plugin: ServedPlugin, flags: argparse.Namespace) -> None:
    # Kong runs the query command before it starts: it must not pay for these.
    from kong_pdk import module as kong_pdk_module

    from jan_media_plugin.server.listener import serve
    from jan_media_plugin.server.log import WARNING, Log
    from jan_media_plugin.server.plugin_server import LoopPluginServer

    limits = Limits(
        time_limit=flags.time_limit,
        max_events=flags.max_events,
        abandoned_after=flags.abandoned_after,
        kong_read_timeout=flags.kong_read_timeout,
    )
    server = LoopPluginServer(
        limits, Log(WARNING + flags.verbose), f"{plugin.name} version {plugin.version}"
    )
    attributes = {
        "Plugin": plugin.load(),
        "Schema": plugin.schema,
        "version": plugin.version,
        "priority": plugin.priority,
    }
    # kong-pdk asks for the age of the first folder in sys.path, and fails if that is none: with
    # PYTHONSAFEPATH it is the standard library as a zip file, which hardly anybody has.
    kong_pdk_module.FILEPATH = __file__
    described = type("module", (), attributes)
    server.add_plugin(kong_pdk_module.Module(plugin.name, module=described))
    serve(server, flags.prefix / flags.socket_name, flags.listen_queue_size)


def _parse(plugin: ServedPlugin, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=plugin.name,
        description=f"The plugin server of {plugin.name} for Kong.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "-p",
        "--kong-prefix",
        "-kong-prefix",
        dest="prefix",
        type=Path,
        default=Path("/usr/local/kong"),
        help="folder of the socket",
    )
    parser.add_argument(
        "--socket-name", default=f"{plugin.name}.sock", help="name of the socket in that folder"
    )
    parser.add_argument(
        "--dump", "-dump", action="store_true", help="print the plugin's description and exit"
    )
    parser.add_argument("-v", "--verbose", action="count", default=1, help="log more")
    parser.add_argument("--version", "-version", action="version", version=plugin.version)
    parser.add_argument("--listen-queue-size", type=int, default=4096, help="backlog of the socket")
    _add_limits(parser)
    for old in ("--no-lua-style", "-g --gevent", "-m --multiprocessing"):
        parser.add_argument(*old.split(), action="store_true", help="kong-pdk's; changes nothing")
    flags = parser.parse_args(argv)
    if not flags.dump and not flags.prefix.is_dir():
        parser.error(f"{flags.prefix} is not a folder: the socket cannot be made there")
    if flags.time_limit >= flags.kong_read_timeout:
        parser.error("--time-limit must be below --kong-read-timeout: Kong would not wait so long")
    return flags


def _add_limits(parser: argparse.ArgumentParser) -> None:
    default = Limits()
    parser.add_argument(
        "--time-limit",
        type=_positive,
        default=default.time_limit,
        metavar="SECONDS",
        help="what one event may wait or run; keep it below Kong's read timeout",
    )
    parser.add_argument(
        "--max-events", type=int, default=default.max_events, help="events in flight"
    )
    parser.add_argument(
        "--abandoned-after",
        type=_positive,
        default=default.abandoned_after,
        metavar="SECONDS",
        help="how long Kong may take over one PDK call",
    )
    parser.add_argument(
        "--kong-read-timeout",
        type=_positive,
        default=default.kong_read_timeout,
        metavar="SECONDS",
        help="Kong's lua_socket_read_timeout",
    )


def _positive(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError
    return seconds
