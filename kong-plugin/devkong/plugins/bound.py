"""A plugin that can run, and the config that one request meets it with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from devkong.config.entities import PluginEntry
from devkong.exchange import Exchange

Phase = Callable[[Exchange, PluginEntry], Awaitable[None] | None]
BodyFilter = Callable[[Exchange, PluginEntry, bytes, bool], bytes]


@dataclass(frozen=True)
class Plugin:
    """A plugin's handlers by phase."""

    name: str
    priority: int
    rewrite: Phase | None = None
    access: Phase | None = None
    header_filter: Phase | None = None
    body_filter: BodyFilter | None = None
    log: Phase | None = None


class Bound(NamedTuple):
    """A plugin and one of its configs."""

    plugin: Plugin
    entry: PluginEntry


def with_config(
    handler: Callable[[Exchange, dict[str, Any]], None] | None,
) -> Phase | None:
    """Make a phase of a handler that wants its config alone."""
    if handler is None:
        return None
    return lambda exchange, entry: handler(exchange, entry.config)
