"""Chooses the plugins that a request meets, their order, and the config of each."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from devkong.config.entities import PluginEntry, Route
from devkong.exchange import Exchange


class Plugin:
    """A plugin that can run. phases: access, header_filter, body_filter, or some of them."""

    def __init__(self, name: str, priority: int, phases: Iterable[str]) -> None:
        self.name = name
        self.priority = priority
        self.phases = frozenset(phases)

    async def access(self, exchange: Exchange, entry: PluginEntry) -> None:
        """Handle the request. Raises ResponseExit to answer it, PluginLeft."""

    def header_filter(self, exchange: Exchange, entry: PluginEntry) -> None:
        """Handle the head of the answer."""

    def body_filter(
        self, exchange: Exchange, entry: PluginEntry, piece: bytes, last: bool
    ) -> bytes:
        """Return the piece to send instead of a piece of the answer."""
        return piece


class Bound(NamedTuple):
    """A plugin and one of its configs."""

    plugin: Plugin
    entry: PluginEntry


class PluginChain:
    """The plugins of every route, by descending priority.

    Of several configs of one plugin the most specific applies: the route's, else the service's,
    else the global one. Configs for a consumer are added; their runner checks whose request it is.
    """

    def __init__(self, plugins: Iterable[Plugin], entries: Sequence[PluginEntry]) -> None:
        self._plugins = sorted(plugins, key=lambda plugin: (-plugin.priority, plugin.name))
        self._entries = entries
        self._by_route: dict[str, tuple[Bound, ...]] = {}
        self.everywhere = self._bind([(None, None)])

    def of(self, route: Route) -> tuple[Bound, ...]:
        """Return a route's plugins."""
        if route.id not in self._by_route:
            service = route.service.id if route.service else None
            scopes = [(route.id, service), (route.id, None), (None, service), (None, None)]
            self._by_route[route.id] = self._bind(scopes)
        return self._by_route[route.id]

    def _bind(self, scopes: list[tuple[str | None, str | None]]) -> tuple[Bound, ...]:
        bound = []
        for plugin in self._plugins:
            found = [
                entry
                for scope in scopes
                for entry in self._entries
                if entry.name == plugin.name and (entry.route_id, entry.service_id) == scope
            ]
            for_all = [entry for entry in found if entry.consumer_id is None]
            for_consumers = [entry for entry in found if entry.consumer_id is not None]
            bound += [Bound(plugin, entry) for entry in (*for_all[:1], *for_consumers)]
        return tuple(bound)
