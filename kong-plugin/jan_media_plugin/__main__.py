"""``python -m jan_media_plugin``: the plugin server.

``--dump`` makes it Kong's query command; ``--lua-path`` prints what ``lua_package_path`` must be.
"""

import sys

from jan_media_plugin import lua_path
from jan_media_plugin.config import Schema
from jan_media_plugin.server.command import ServedPlugin, run


def _load() -> type:
    from jan_media_plugin.handler import Plugin

    return Plugin


JAN_MEDIA = ServedPlugin(
    name="jan-media",
    version="0.1.0",
    priority=1100,  # before acl (950), which admits only callers that this plugin has admitted
    schema=Schema,
    load=_load,
)


if __name__ == "__main__":
    if sys.argv[1:] == ["--lua-path"]:
        print(lua_path())
    else:
        run(JAN_MEDIA)
