"""The plugin that the plugin server's bench runs: five PDK calls, and a server for each side.

``python -m bench.five_calls`` serves it on the project's plugin server, and
``python -m bench.five_calls stock [-g]`` on kong-pdk's own.
"""

import sys
from typing import Any

from jan_media_plugin.server.dedicated import ServedPlugin, run


class Plugin:
    """Reads headers and body, authenticates, sets headers and the groups: a chat's least."""

    def __init__(self, config: dict[str, Any]) -> None:
        pass

    def access(self, kong: Any) -> None:
        """Make the five calls."""
        kong.request.get_headers(1000)
        kong.request.get_raw_body(0)
        kong.client.authenticate({"id": "user-1"}, {"id": "credential-1"})
        kong.service.request.set_headers({"X-Jan-User-Id": "user-1", "X-Jan-Groups": "jan-users"})
        kong.ctx.shared.set("authenticated_groups", ["jan-users"])


def _load() -> type:
    return Plugin


if __name__ == "__main__":
    if sys.argv[1:2] == ["stock"]:
        from kong_pdk.cli import start_dedicated_server

        sys.argv[1:2] = ["--no-lua-style"]
        start_dedicated_server("five", Plugin, "1.0", 1)
    else:
        run(ServedPlugin("five", "1.0", 1, ("access",), [], _load))
