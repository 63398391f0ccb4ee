"""Which plugins a request meets, in which order, with which of their configs."""

from collections.abc import Mapping, Sequence

from devkong.config.entities import PluginEntry, Route
from devkong.plugins.bound import Bound, Plugin


class PluginChain:
    """The plugins of every route, by falling priority.

    Of several configs of one plugin the most specific counts: of route and service, of the
    route, of the service, then the global one.
    """

    def __init__(self, plugins: Mapping[str, Plugin], entries: Sequence[PluginEntry]) -> None:
        self._plugins = sorted(plugins.values(), key=lambda p: (-p.priority, p.name))
        self._entries: dict[tuple[str, str | None, str | None], PluginEntry] = {
            (entry.name, entry.route_id, entry.service_id): entry
            for entry in entries
            if entry.consumer_id is None
        }
        self._of_consumers = [entry for entry in entries if entry.consumer_id is not None]
        self._by_route: dict[str, tuple[Bound, ...]] = {}
        self.everywhere = self._bind([(None, None)])

    def of(self, route: Route) -> tuple[Bound, ...]:
        """Return a route's plugins."""
        bound = self._by_route.get(route.id)
        if bound is None:
            service = route.service.id if route.service else None
            scopes = [(route.id, service), (route.id, None), (None, service), (None, None)]
            bound = self._by_route[route.id] = self._bind(scopes)
        return bound

    def _bind(self, scopes: list[tuple[str | None, str | None]]) -> tuple[Bound, ...]:
        bound = []
        for plugin in self._plugins:
            entries = (self._entries.get((plugin.name, *scope)) for scope in scopes)
            entry = next((entry for entry in entries if entry), None)
            if entry:
                bound.append(Bound(plugin, entry))
            bound += [
                Bound(plugin, entry)
                for entry in self._of_consumers
                if entry.name == plugin.name and (entry.route_id, entry.service_id) in scopes
            ]
        return tuple(bound)
