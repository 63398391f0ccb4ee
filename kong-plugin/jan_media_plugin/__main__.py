"""``python -m jan_media_plugin``: the plugin server, and with ``--dump`` Kong's query command."""

from jan_media_plugin.schema import Schema
from jan_media_plugin.server.dedicated import ServedPlugin, run


def _load() -> type:
    from jan_media_plugin.handler import Plugin

    return Plugin


JAN_MEDIA = ServedPlugin(
    name="jan-media",
    version="0.1.0",
    priority=1100,  # above acl's 950, which admits only whom this plugin has let in
    phases=("access",),
    schema=Schema,
    load=_load,
)


if __name__ == "__main__":
    run(JAN_MEDIA)
