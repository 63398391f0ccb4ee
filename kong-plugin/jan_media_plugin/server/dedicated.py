"""A process that serves one plugin, with the command line of kong-pdk's dedicated servers."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


def _seconds(default: float, says: str) -> Any:
    return field(default=default, metadata={"type": _positive, "metavar": "SECONDS", "help": says})


def _positive(text: str) -> float:
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


@dataclass(frozen=True)
class Limits:
    """How much one plugin server takes on, and how long it waits. Most are flags of its process."""

    time_limit: float = _seconds(
        10.0,
        "what one event may wait for I/O, or run without a pause; then 503. Kong's time does not "
        "count. Keep it below Kong's read timeout, after which Kong proxies the request un-plugged",
    )
    max_events: int = field(
        default=4096, metadata={"type": int, "help": "events in flight; beyond: 503"}
    )
    abandoned_after: float = _seconds(
        300.0,
        "how long Kong may take over one PDK call (a slow client's body) before its event is "
        "dropped: Kong does not say when it gives an event up",
    )
    kong_read_timeout: float = _seconds(
        60.0, "Kong's lua_socket_read_timeout: nobody waits for answers older than this"
    )
    evictable_after: float = 10.0
    """Seconds: when ``max_events`` is reached, the event that Kong has been silent about for
    longest makes room if it has been silent for so long."""
    drain: float = 3.0
    """Seconds that events in flight may go on after SIGTERM."""
    max_message: int = 128 * 1024 * 1024
    """Bytes of one message from Kong; a larger one closes its connection."""


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


_FLAGS = {each.name: each for each in fields(Limits) if each.metadata}


def run(plugin: ServedPlugin, argv: Sequence[str] | None = None) -> None:
    """Do what the command line says: print the plugin's description, or serve until told to end."""
    flags = _parse(plugin, argv)
    if flags.dump:
        sys.stdout.write(json.dumps([plugin.info()]) + "\n")
        return
    _serve(plugin, flags)


def _serve(plugin: ServedPlugin, flags: argparse.Namespace) -> None:
    # Kong runs the query command before it starts: it must not pay for these.
    import logging

    from jan_media import tracing
    from kong_pdk import module as kong_pdk_module

    from jan_media_plugin.metrics import show
    from jan_media_plugin.server.listener import serve
    from jan_media_plugin.server.log import WARNING, Log
    from jan_media_plugin.server.plugin_server import LoopPluginServer

    limits = Limits(**{name: getattr(flags, name) for name in _FLAGS})
    log = Log(WARNING + flags.verbose, as_json=flags.log_format == "json")
    logging.basicConfig(handlers=[log], level=logging.DEBUG if flags.verbose > 1 else logging.INFO)
    for chatty in ("asyncio", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    server = LoopPluginServer(limits, log, f"{plugin.name} version {plugin.version}")
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
    if flags.metrics_listen is not None:
        host, port = flags.metrics_listen
        show(host, port, server.logger.error)
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
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text",
        metavar="FORMAT",
        help="lines for people (text), or for programs (json)",
    )
    parser.add_argument(
        "--metrics-listen",
        type=_address,
        default="off",
        metavar="ADDRESS",
        help="where Prometheus finds this process's metrics: host:port",
    )
    for name, flag in _FLAGS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", default=flag.default, **flag.metadata)
    for old in ("--no-lua-style", "-g --gevent", "-m --multiprocessing"):
        parser.add_argument(*old.split(), action="store_true", help="kong-pdk's; changes nothing")
    flags = parser.parse_args(argv)
    if not flags.dump and not flags.prefix.is_dir():
        parser.error(f"{flags.prefix} is not a folder: the socket cannot be made there")
    if flags.time_limit >= flags.kong_read_timeout:
        parser.error("--time-limit must be below --kong-read-timeout: Kong would not wait so long")
    return flags
