"""A plugin that does what its configuration says, well or badly, for tests of the plugin server.

``python -m tests.support.odd_plugin`` serves it as ``odd``.
"""

import asyncio
import sys
import time
from typing import Any

from jan_media_plugin.server.dedicated import ServedPlugin, run
from jan_media_plugin.server.event import wait_for

SHARED: dict[str, int] = {}
"""What all instances of one process share."""

SECRET = "s3cr3t-token"


class Plugin:
    def __init__(self, config: dict[str, Any]) -> None:
        if config.get("do") == "not_start":
            raise ValueError(f"field token cannot be {config['token']}")
        self.config = config
        self.do = getattr(self, "_" + config.get("do", "pass"))

    def access(self, kong: Any) -> None:
        self.do(kong)

    def _pass(self, kong: Any) -> None:
        pass

    def _five_calls(self, kong: Any) -> None:
        kong.request.get_headers(1000)
        kong.request.get_raw_body(0)
        kong.client.authenticate({"id": "u"}, {"id": "c"})
        kong.service.request.set_headers({"X-Jan-User-Id": "user-1"})
        kong.ctx.shared.set("authenticated_groups", ["jan-users"])

    def _echo(self, kong: Any) -> None:
        """Set as headers what the request holds."""
        headers = kong.request.get_headers(1000)
        query = kong.request.get_query(1000)
        body = kong.request.get_raw_body(0)
        kong.service.request.set_headers({"headers": headers, "query": query, "body": body})

    def _name(self, kong: Any) -> None:
        kong.ctx.shared.set("name", self.config["name"])

    def _raise_first(self, kong: Any) -> None:
        raise ValueError(SECRET)

    def _raise_between(self, kong: Any) -> None:
        kong.request.get_headers(1000)
        raise ValueError(SECRET)

    def _raise_last(self, kong: Any) -> None:
        self._five_calls(kong)
        raise ValueError(SECRET)

    def _raise_after_wait(self, kong: Any) -> None:
        wait_for(asyncio.sleep(0))
        raise ValueError(SECRET)

    def _leave(self, kong: Any) -> None:
        kong.request.get_headers(1000)
        sys.exit(0)

    def _recurse(self, kong: Any) -> None:
        kong.request.get_headers(1000)
        self._recurse_forever()

    def _recurse_forever(self) -> None:
        self._recurse_forever()

    def _unpackable(self, kong: Any) -> None:
        kong.request.get_headers(1000)
        kong.ctx.shared.set("x", object())

    def _exit(self, kong: Any) -> None:
        try:
            kong.response.exit(418, '{"teapot": true}', {"X-Pot": "1"})
        except Exception:
            SHARED["survived"] = 1
        finally:
            SHARED["unwound"] = SHARED.get("unwound", 0) + 1
        SHARED["survived"] = 1

    def _exit_then_call(self, kong: Any) -> None:
        try:
            kong.response.exit(418)
        finally:
            kong.request.get_headers(1000)

    def _pdk_error(self, kong: Any) -> None:
        kong.request.get_raw_body(0)

    def _catch_pdk_error(self, kong: Any) -> None:
        try:
            kong.request.get_raw_body(0)
        except Exception as error:
            kong.response.exit(400, f"{type(error).__name__}: {error}")

    def _shared_state(self, kong: Any) -> None:
        SHARED["count"] = SHARED.get("count", 0) + 1
        kong.ctx.shared.set("state", dict(SHARED))

    def _sleep(self, kong: Any) -> None:
        wait_for(asyncio.sleep(self.config["seconds"]))
        kong.ctx.shared.set("slept", True)

    def _spin(self, kong: Any) -> None:
        while True:
            pass

    def _block(self, kong: Any) -> None:
        time.sleep(3600)

    def _wait_fails(self, kong: Any) -> None:
        async def fail() -> None:
            raise OSError(SECRET)

        wait_for(fail())

    def _large(self, kong: Any) -> None:
        kong.service.request.set_raw_body(b"\xff" + b"x" * (self.config["size"] - 2) + b"\x00")

    def _back(self, kong: Any) -> None:
        kong.service.request.set_raw_body(kong.request.get_raw_body(0))


ODD = ServedPlugin(
    name="odd",
    version="1.0",
    priority=1,
    phases=("access",),
    schema=[{"do": {"type": "string"}}],
    load=lambda: Plugin,
)

if __name__ == "__main__":
    run(ODD)
