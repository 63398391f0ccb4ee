"""The bundled plugins that devkong has."""

from types import ModuleType

from devkong.config.plugin_schema import PluginSchema
from devkong.plugins import (
    acl,
    correlation_id,
    cors,
    rate_limiting,
    request_size_limiting,
    request_termination,
)
from devkong.plugins.bound import Plugin, with_config
from devkong.plugins.serverless import ServerlessFunctions

_MODULES: tuple[ModuleType, ...] = (
    acl,
    correlation_id,
    cors,
    rate_limiting,
    request_size_limiting,
    request_termination,
)
_SERVERLESS = (
    ServerlessFunctions("pre-function", 1000000),
    ServerlessFunctions("post-function", -1000),
)

SCHEMAS: dict[str, PluginSchema] = {
    **{module.NAME: module.SCHEMA for module in _MODULES},
    **{plugin.name: plugin.schema for plugin in _SERVERLESS},
}

PLUGINS: dict[str, Plugin] = {
    **{
        module.NAME: Plugin(
            module.NAME,
            module.PRIORITY,
            access=with_config(module.access),
            header_filter=with_config(getattr(module, "header_filter", None)),
        )
        for module in _MODULES
    },
    **{plugin.name: plugin.as_plugin() for plugin in _SERVERLESS},
}
