"""A gateway with a kong.yml of a test's own: the Kong that KONG_BIN names, or devkong."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from demo.addresses import HOST, free_ports
from demo.part import Part
from demo.stack import chosen_kong
from tests.support.raw_http import ask

READY = "/is-the-gateway-there"
LUA = Path(__file__).parent / "lua"


def config(port: int, *routes: Mapping[str, Any], **service: Any) -> dict[str, Any]:
    """A kong.yml of one service, whose upstream listens on ``port``."""
    up = {"name": "up", "url": f"http://{HOST}:{port}", "routes": list(routes), **service}
    return {"_format_version": "3.0", "services": [up]}


def route(name: str, *plugins: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A route ``/NAME``."""
    return {"name": name, "paths": [f"/{name}"], "plugins": list(plugins), **fields}


def lua(access: str = "return", **phases: str) -> dict[str, Any]:
    """The plugin that runs the code of its config: see lua/kong/plugins/lua-code."""
    codes = {"access": access, **phases}
    return {"name": "lua-code", "config": {phase: [code] for phase, code in codes.items()}}


@contextmanager
def running(
    folder: Path,
    document: Mapping[str, Any],
    settings: Mapping[str, str] | None = None,
    plugins: Sequence[str] = (),
) -> Iterator[int]:
    """Run it; yield the port. ``settings`` are Kong's, ``plugins`` more than the usual ones."""
    port = free_ports().gateway
    written = folder / "kong.yml"
    written.write_text(yaml.safe_dump(dict(document), sort_keys=False), "utf-8")
    environment = {
        **os.environ,
        "KONG_DATABASE": "off",
        "KONG_DECLARATIVE_CONFIG": str(written),
        "KONG_PREFIX": str(folder / "p"),
        "KONG_PROXY_LISTEN": f"{HOST}:{port}",
        "KONG_ADMIN_LISTEN": "off",
        "KONG_STATUS_LISTEN": "off",
        "KONG_NGINX_DAEMON": "off",
        "KONG_NGINX_WORKER_PROCESSES": "1",
        "KONG_ANONYMOUS_REPORTS": "off",
        # Each request to the upstream comes on a connection of its own, whose behaviour is new.
        "KONG_UPSTREAM_KEEPALIVE_POOL_SIZE": "0",
        "KONG_HEADERS": "latency_tokens,X-Kong-Request-Id",
        "KONG_PLUGINS": ",".join(("bundled", "lua-code", *plugins)),
        "KONG_LUA_PACKAGE_PATH": f"{LUA}/?.lua;;",
        **({"KONG_NGINX_USER": "root root"} if os.geteuid() == 0 else {}),
        **(settings or {}),
    }
    kong = chosen_kong(os.environ)
    gateway = Part(
        name="gateway",
        command=[kong, "start"] if kong else [sys.executable, "-m", "devkong", "start"],
        environment=environment,
        log=folder / "gateway.log",
        is_ready=lambda: _answers(port),
        extra_logs=[folder / "p" / "logs" / "error.log"],
        stop_whole_group=kong is not None,
    )
    gateway.start()
    try:
        gateway.wait_until_ready()
        yield port
    finally:
        gateway.stop()


def _answers(port: int) -> bool:
    try:
        return ask(port, READY).status == 404
    except (OSError, EOFError):
        return False
