"""devkong in a thread of its own, with its own event loop, for as long as a test needs it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop
from devkong.config.schema import PluginSchema, schema_of
from devkong.lua.runtime import Lua
from devkong.settings import Settings, from_environment
from devkong.start import BUNDLED, Devkong

from tests.kong.gateway import LUA


def _schemas() -> Iterator[tuple[str, PluginSchema]]:
    lua = Lua("")
    for name in BUNDLED:
        found = lua.plugin(name)
        assert found
        yield name, schema_of(found[1])


SCHEMAS = dict(_schemas())


class RunningDevkong:
    """A started devkong."""

    def __init__(self, devkong: Devkong) -> None:
        self.devkong = devkong

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self.devkong.address.port


@contextmanager
def running(
    folder: Path, kong_yml: str, environment: dict[str, str] | None = None
) -> Iterator[RunningDevkong]:
    """Run a kong.yml with Kong's variables."""
    (folder / "kong.yml").write_text(kong_yml)
    settings = from_environment(
        {
            "KONG_DECLARATIVE_CONFIG": str(folder / "kong.yml"),
            "KONG_PREFIX": str(folder),
            "KONG_PROXY_LISTEN": "127.0.0.1:0",
            "KONG_LUA_PACKAGE_PATH": f"{LUA}/?.lua;;",
            **(environment or {}),
            "KONG_PLUGINS": (environment or {}).get("KONG_PLUGINS", "bundled") + ",lua-code",
        }
    )
    with _in_thread(settings) as devkong:
        yield RunningDevkong(devkong)


@contextmanager
def _in_thread(settings: Settings) -> Iterator[Devkong]:
    devkong = Devkong(settings)
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="devkong")
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(devkong.start(), loop).result(10)
        asyncio.run_coroutine_threadsafe(devkong.wait_for_plugin_servers(), loop).result(15)
        yield devkong
    finally:
        asyncio.run_coroutine_threadsafe(devkong.stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
