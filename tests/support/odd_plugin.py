"""A plugin that behaves well or badly, as configured, for tests of the plugin server.

``python -m tests.support.odd_plugin`` serves it as ``odd``.
"""

import asyncio
import sys
import time
from typing import Any

from jan_media_plugin.schema import ConfigError
from jan_media_plugin.server.command import ServedPlugin, run

SHARED: dict[str, int] = {}
"""What all instances of one process share."""

SECRET = "s3cr3t-token"


class Plugin:
    def __init__(self, config: dict[str, Any]) -> None:
        if config.get("do") == "not_start":
            raise ValueError(f"field token cannot be {config['token']}")
        if config.get("do") == "misconfigured":
            raise ConfigError("field token cannot be like that")
        self.config = config
        self.do = getattr(self, "_" + config.get("do", "pass"))

    async def access(self, kong: Any) -> None:
        await self.do(kong)

    async def _pass(self, kong: Any) -> None:
        pass

    async def _five_calls(self, kong: Any) -> None:
        await kong.request.get_headers(1000)
        await kong.request.get_raw_body(0)
        await kong.client.authenticate({"id": "u"}, {"id": "c"})
        await kong.service.request.set_headers({"X-Jan-User-Id": "user-1"})
        await kong.ctx.shared.set("authenticated_groups", ["jan-users"])

    async def _echo(self, kong: Any) -> None:
        """Set as headers what the request holds."""
        headers = await kong.request.get_headers(1000)
        query = await kong.request.get_query(1000)
        body = await kong.request.get_raw_body(0)
        await kong.service.request.set_headers({"headers": headers, "query": query, "body": body})

    async def _name(self, kong: Any) -> None:
        await kong.ctx.shared.set("name", self.config["name"])

    async def _raise_first(self, kong: Any) -> None:
        raise ValueError(SECRET)

    async def _raise_between(self, kong: Any) -> None:
        await kong.request.get_headers(1000)
        raise ValueError(SECRET)

    async def _raise_last(self, kong: Any) -> None:
        await self._five_calls(kong)
        raise ValueError(SECRET)

    async def _raise_after_wait(self, kong: Any) -> None:
        await asyncio.sleep(0)
        raise ValueError(SECRET)

    async def _leave(self, kong: Any) -> None:
        await kong.request.get_headers(1000)
        sys.exit(0)

    async def _recurse(self, kong: Any) -> None:
        await kong.request.get_headers(1000)
        self._recurse_forever()

    def _recurse_forever(self) -> None:
        self._recurse_forever()

    async def _unpackable(self, kong: Any) -> None:
        await kong.request.get_headers(1000)
        await kong.ctx.shared.set("x", object())

    async def _exit(self, kong: Any) -> None:
        try:
            await kong.response.exit(418, '{"teapot": true}', {"X-Pot": "1"})
        except Exception:
            SHARED["survived"] = 1
        finally:
            SHARED["unwound"] = SHARED.get("unwound", 0) + 1
        SHARED["survived"] = 1

    async def _exit_then_call(self, kong: Any) -> None:
        try:
            await kong.response.exit(418)
        finally:
            await kong.request.get_headers(1000)

    async def _pdk_error(self, kong: Any) -> None:
        await kong.request.get_raw_body(0)

    async def _catch_pdk_error(self, kong: Any) -> None:
        try:
            await kong.request.get_raw_body(0)
        except Exception as error:
            await kong.response.exit(400, f"{type(error).__name__}: {error}")

    async def _shared_state(self, kong: Any) -> None:
        SHARED["count"] = SHARED.get("count", 0) + 1
        await kong.ctx.shared.set("state", dict(SHARED))

    async def _sleep(self, kong: Any) -> None:
        await kong.ctx.shared.set("begun", True)
        await asyncio.sleep(self.config["seconds"])
        await kong.ctx.shared.set("slept", True)

    async def _spin(self, kong: Any) -> None:
        while True:
            pass

    async def _block(self, kong: Any) -> None:
        time.sleep(3600)  # noqa: ASYNC251

    async def _wait_fails(self, kong: Any) -> None:
        async def fail() -> None:
            raise OSError(SECRET)

        await fail()

    async def _large(self, kong: Any) -> None:
        await kong.service.request.set_raw_body(
            b"\xff" + b"x" * (self.config["size"] - 2) + b"\x00"
        )

    async def _back(self, kong: Any) -> None:
        await kong.service.request.set_raw_body(await kong.request.get_raw_body(0))


ODD = ServedPlugin(
    name="odd",
    version="1.0",
    priority=1,
    schema=[{"do": {"type": "string"}}],
    load=lambda: Plugin,
)

if __name__ == "__main__":
    run(ODD)
