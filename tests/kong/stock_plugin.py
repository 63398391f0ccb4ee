"""A plugin on kong-pdk's own server, run as a process: what an operator would have without ours."""

import sys
from typing import Any

from kong_pdk.cli import start_dedicated_server


class Plugin:
    """Grants, raises or tags, by the request's X-Do header and the route's config."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def access(self, kong: Any) -> None:
        """Do what the request says."""
        if kong.request.get_headers().get("x-do") == ["raise"]:
            raise RuntimeError("a handler that raises")
        kong.service.request.set_header("x-tag", self.config["tag"])
        kong.ctx.shared.set("authenticated_groups", ["jan"])


if __name__ == "__main__":
    sys.argv.append("--no-lua-style")
    fields = [{"tag": {"type": "string", "default": "none"}}]
    start_dedicated_server("stock", Plugin, "1.0", 1100, fields)
