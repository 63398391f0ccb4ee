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

_MODULES: tuple[ModuleType, ...] = (
    acl,
    correlation_id,
    cors,
    rate_limiting,
    request_size_limiting,
    request_termination,
)

SCHEMAS: dict[str, PluginSchema] = {
    **{module.NAME: module.SCHEMA for module in _MODULES},
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
}
