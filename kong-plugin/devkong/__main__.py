"""`python -m devkong start`: run kong.yml on this machine, for development."""

import argparse
import logging
import os
import sys

import uvloop

from devkong.config.declarative import BadConfig
from devkong.plugins.process import BadPluginServer
from devkong.settings import BadSettings, Settings, from_environment
from devkong.start import Devkong, run


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="devkong", description="A stand-in for Kong 3.9, for development and tests."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="run a kong.yml in the foreground")
    check = commands.add_parser("check", help="check a kong.yml and its plugins")
    for command in (start, check):
        command.add_argument("--config", help="kong.yml (KONG_DECLARATIVE_CONFIG)")
        command.add_argument("--prefix", help="working folder (KONG_PREFIX)")
        command.add_argument("--plugins", help="plugins to enable (KONG_PLUGINS)")
    start.add_argument("--port", type=int, help="listen on 127.0.0.1:PORT (KONG_PROXY_LISTEN)")
    start.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    options = parser.parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr,
        level=getattr(options, "log_level", "warning").upper(),
        format="%(asctime)s [%(levelname)s] %(name)s: %(message)s",
    )
    try:
        settings = _settings(options)
        if options.command == "check":
            Devkong(settings)
            print(f"{settings.config}: no faults")
        else:
            uvloop.run(run(settings))
    except (BadSettings, BadConfig, BadPluginServer, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    port = getattr(options, "port", None)
    return from_environment(
        os.environ,
        declarative_config=options.config,
        prefix=options.prefix,
        plugins=options.plugins,
        proxy_listen=None if port is None else f"127.0.0.1:{port}",
    )


if __name__ == "__main__":
    sys.exit(main())
