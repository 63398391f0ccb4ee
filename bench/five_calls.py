"""The plugin for the plugin server's bench: five PDK calls, and a server for each side.

``python -m bench.five_calls`` serves it on the project's plugin server, and
``python -m bench.five_calls stock [-g]`` on kong-pdk's own.
"""

import sys
from typing import Any

from jan_media_plugin.server.command import ServedPlugin, run

HEADERS = {"X-Jan-User-Id": "user-1", "X-Jan-Groups": "jan-users"}
GRANT = ("authenticated_groups", ["jan-users"])


class Plugin:
    """Reads headers and body, authenticates, sets headers and groups: the minimum of a chat."""

    def __init__(self, config: dict[str, Any]) -> None:
        pass

    async def access(self, kong: Any) -> None:
        """Make the five calls."""
        await kong.request.get_headers(1000)
        await kong.request.get_raw_body(0)
        await kong.client.authenticate({"id": "user-1"}, {"id": "credential-1"})
        await kong.service.request.set_headers(HEADERS)
        await kong.ctx.shared.set(*GRANT)


class StockPlugin(Plugin):
    """The same for kong-pdk, whose PDK has blocking calls."""

    def access(self, kong: Any) -> None:  # type: ignore[override]
        """Make the five calls."""
        kong.request.get_headers(1000)
        kong.request.get_raw_body(0)
        kong.client.authenticate({"id": "user-1"}, {"id": "credential-1"})
        kong.service.request.set_headers(HEADERS)
        kong.ctx.shared.set(*GRANT)


def _load() -> type:
    return Plugin


if __name__ == "__main__":
    if sys.argv[1:2] == ["stock"]:
        from kong_pdk.cli import start_dedicated_server

        sys.argv[1:2] = ["--no-lua-style"]
        start_dedicated_server("five", StockPlugin, "1.0", 1)
    else:
        run(ServedPlugin("five", "1.0", 1, [], _load))
