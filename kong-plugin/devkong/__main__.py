"""`python -m devkong start`: run a kong.yml on this machine, with Kong's settings, KONG_*."""

import argparse
import logging
import os
import sys

import uvloop

from devkong.config.declarative import BadConfig
from devkong.plugins.process import BadPluginServer
from devkong.settings import BadSettings, from_environment
from devkong.start import run


def main() -> int:
    """Run until SIGTERM or SIGINT; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="devkong",
        description="A stand-in for Kong 3.9, for development and tests. "
        "It reads Kong's settings from KONG_* and the kong.yml that KONG_DECLARATIVE_CONFIG names.",
    )
    parser.add_argument("command", choices=["start"])
    parser.parse_args()
    logging.basicConfig(
        stream=sys.stderr,
        level="INFO",
        format="%(asctime)s [%(levelname)s] %(name)s: %(message)s",
    )
    try:
        uvloop.run(run(from_environment(os.environ)))
    except (BadSettings, BadConfig, BadPluginServer, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
