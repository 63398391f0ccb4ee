"""The routes of a kong.yml, read as Kong 3.9 reads a declarative config.

If several plugins have one name, Kong runs one of them: that of the route, else that of its
service, else the global one. A plugin that is not enabled does not count.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any
from urllib.parse import urlsplit

from jan_media.doctor.finding import Finding, problem, warning

Entity = Mapping[str, Any]

_SCOPES = ("route", "service", "consumer", "consumer_group")
_PORTS = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a service leads."""

    host: str
    port: int
    path: str

    @classmethod
    def of_url(cls, url: str) -> "Upstream":
        """The upstream of a service's ``url``, or of another URL."""
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 80)
        return cls(parts.hostname or "", port, parts.path or "/")

    def below(self, path: str) -> "Upstream":
        """The upstream of a path that is passed on unchanged."""
        return Upstream(self.host, self.port, self.path.rstrip("/") + path)

    def overlaps(self, other: "Upstream") -> bool:
        """Whether some place can be reached through both."""
        mine, theirs = (f"{each.path.rstrip('/')}/" for each in (self, other))
        same = (self.host, self.port) == (other.host, other.port)
        return same and (mine.startswith(theirs) or theirs.startswith(mine))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}{self.path}"


@dataclass(frozen=True, slots=True)
class Route:
    """A route, where it leads, and what runs on it."""

    name: str
    upstream: Upstream | None
    plugins: Mapping[str, Entity]
    """The configs of the plugins that run on it, by their names."""
    limited: frozenset[str]
    """The ids of consumers that have a rate-limiting plugin of their own on it."""
    kept_paths: tuple[str, ...] = ()
    """Its paths, if they go on to the upstream as they are (``strip_path: false``)."""

    def problem(self, message: str) -> Finding:
        """A problem of this route."""
        return problem(f"route {self.name}", message)

    def warning(self, message: str) -> Finding:
        """A warning about this route."""
        return warning(f"route {self.name}", message)

    @property
    def jan_media(self) -> Entity:
        """The config of jan-media on it; empty if it has none."""
        return self.plugins.get("jan-media", {})

    @property
    def asks_who_calls(self) -> bool:
        """Whether jan-media authenticates callers on it."""
        return "jan-media" in self.plugins and self.jan_media.get("auth", "required") != "off"

    @property
    def issuers(self) -> Sequence[Entity]:
        """The issuers that it trusts, if it authenticates callers."""
        return self.jan_media.get("issuers") or ()


def routes_of(document: Any) -> Iterator[Route]:
    """Every route with the plugins that run on it. Raises for what is no declarative config."""
    services = document.get("services") or ()
    by_name = {each.get("name"): each for each in services}
    placed = [(route, service) for service in services for route in service.get("routes") or ()]
    placed += [
        (route, by_name.get(_reference(route.get("service")), {}))
        for route in document.get("routes") or ()
    ]
    plugins = document.get("plugins") or ()
    ids = {each.get("username"): str(each.get("id")) for each in document.get("consumers") or ()}
    for route, service in placed:
        paths = tuple(map(str, route.get("paths") or ()))
        name = str(route.get("name") or ", ".join(paths) or "without a name")
        limits = (
            _reference(each["consumer"])
            for each in plugins
            if each.get("name") == "rate-limiting" and each.get("consumer")
            if _reference(each.get("route")) == name
        )
        yield Route(
            name,
            _upstream(service),
            _running(name, route, service, plugins),
            limited=frozenset(ids.get(consumer, consumer) for consumer in limits),
            kept_paths=() if route.get("strip_path", True) else paths,
        )


def _running(
    name: str, route: Entity, service: Entity, plugins: Sequence[Entity]
) -> dict[str, Entity]:
    """The configs of the plugins that run on a route, by name: the most specific of each."""
    here = {"route": name, "service": service.get("name")}
    fitting: list[tuple[int, Entity]] = []
    for plugin in (
        *plugins,
        *({**each, "service": here["service"]} for each in service.get("plugins") or ()),
        *({**each, "route": name} for each in route.get("plugins") or ()),
    ):
        scope = {kind: _reference(plugin[kind]) for kind in _SCOPES if plugin.get(kind)}
        if all(here.get(kind) == named for kind, named in scope.items()):
            fitting.append((2 * ("route" in scope) + ("service" in scope), plugin))
    running = {plugin["name"]: plugin for _, plugin in sorted(fitting, key=itemgetter(0))}
    return {
        name: each.get("config") or {}
        for name, each in running.items()
        if each.get("enabled", True)
    }


def _upstream(service: Entity) -> Upstream | None:
    if not service:
        return None
    if service.get("url"):
        return Upstream.of_url(str(service["url"]))
    port = int(service.get("port") or _PORTS.get(str(service.get("protocol", "http")), 80))
    return Upstream(str(service.get("host", "")), port, str(service.get("path") or "/"))


def _reference(value: Any) -> str:
    """The name in a foreign reference, which is written plain or as ``{name: …}``."""
    if isinstance(value, Mapping):
        value = value.get("name") or value.get("username") or value.get("id")
    return str(value or "")
