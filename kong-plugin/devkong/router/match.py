"""Kong's traditional_compatible router for what kong.yml may say here.

A route is split by path: one candidate for all its regexes, one for each length of its prefixes.
The first candidate that matches wins, in the order of `_priority`. Between equals Kong goes by
the routes' random ids; here the one declared first wins.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from devkong.config.entities import Route
from devkong.http.headers import Headers

_MOST_HEADERS = 255
_CACHE_SIZE = 5000


class Match(NamedTuple):
    """A route, the part of the path that it matched, and a regex's captures by name and number."""

    route: Route
    path: bytes | None
    captures: dict[bytes | int, bytes]


@dataclass(frozen=True)
class _Candidate:
    route: Route
    prefixes: tuple[bytes, ...]
    regexes: tuple[re.Pattern[bytes], ...]
    hosts: tuple[Callable[[bytes, int], bool], ...]
    methods: frozenset[bytes]
    headers: tuple[tuple[bytes, tuple[Callable[[bytes], bool], ...]], ...]
    priority: tuple[int, ...]

    def match(
        self, method: bytes, host: bytes, port: int, path: bytes, headers: Headers
    ) -> Match | None:
        if self.methods and method not in self.methods:
            return None
        if self.hosts and not any(accepts(host, port) for accepts in self.hosts):
            return None
        for name, values in self.headers:
            sent = [v.lower() for k, _, v in headers if k.replace(b"-", b"_") == name]
            if not any(accepts(value) for accepts in values for value in sent):
                return None
        if not self.prefixes and not self.regexes:
            return Match(self.route, None, {})
        for prefix in self.prefixes:
            if path.startswith(prefix):
                return Match(self.route, prefix, {})
        for regex in self.regexes:
            found = regex.match(path)
            if found:
                return Match(self.route, found[0], _captures(found))
        return None


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        candidates = [candidate for route in routes for candidate in _split(route)]
        # sort is stable: what was declared first stays first
        self._candidates = sorted(candidates, key=lambda c: c.priority, reverse=True)
        self._by_headers = any(candidate.headers for candidate in self._candidates)
        self._cache: dict[tuple[bytes, bytes, int, bytes], Match | None] = {}

    def find(
        self, method: bytes, host: bytes, port: int, path: bytes, headers: Headers
    ) -> Match | None:
        """Return the match with the highest priority.

        host: as in the Host header, port included if it is there. port: where the request came
        in. path: normalised.
        """
        if self._by_headers:
            return self._search(method, host, port, path, headers)
        key = (method, host, port, path)
        if key in self._cache:
            return self._cache[key]
        found = self._search(method, host, port, path, headers)
        if len(self._cache) >= _CACHE_SIZE:
            self._cache.clear()
        self._cache[key] = found
        return found

    def _search(
        self, method: bytes, host: bytes, port: int, path: bytes, headers: Headers
    ) -> Match | None:
        name, named_port = _split_host(host.lower())
        for candidate in self._candidates:
            found = candidate.match(method, name, named_port or port, path, headers)
            if found:
                return found
        return None


def _split(route: Route) -> Iterable[_Candidate]:
    groups: dict[int, list[str]] = {}
    for path in route.paths:
        groups.setdefault(0 if path.startswith("~") else len(path), []).append(path)
    for length, paths in groups.items() or [(-1, [])]:
        regex = length == 0
        yield _Candidate(
            route=route,
            prefixes=() if regex else tuple(path.encode() for path in paths),
            regexes=tuple(_compile(path) for path in paths) if regex else (),
            hosts=tuple(_host(host) for host in route.hosts),
            methods=frozenset(method.encode() for method in route.methods),
            headers=tuple(
                (name.lower().replace("-", "_").encode(), tuple(map(_header_value, values)))
                for name, values in route.headers.items()
            ),
            priority=_priority(route, regex, max(length, 0)),
        )


def _priority(route: Route, regex: bool, length: int) -> tuple[int, ...]:
    attributes = sum(map(bool, (route.methods, route.hosts, route.headers, route.paths)))
    plain_hosts = bool(route.hosts) and not any("*" in host for host in route.hosts)
    return (
        attributes,
        int(plain_hosts),
        min(len(route.headers), _MOST_HEADERS),
        int(regex),
        route.regex_priority if regex else 0,
        length,
    )


def _compile(path: str) -> re.Pattern[bytes]:
    return re.compile(re.sub(r"\?<(?![=!])", "?P<", path[1:]).encode())


def _host(pattern: str) -> Callable[[bytes, int], bool]:
    host, port = _split_host(pattern.lower().encode())

    def accepts(name: bytes, name_port: int) -> bool:
        if port is not None and port != name_port:
            return False
        if host.startswith(b"*"):
            return name.endswith(host[1:])
        if host.endswith(b"*"):
            return name.startswith(host[:-1])
        return name == host

    return accepts


def _header_value(pattern: str) -> Callable[[bytes], bool]:
    wanted = pattern.lower().encode()
    if wanted.startswith(b"~*"):
        regex = re.compile(wanted[2:])
        return lambda value: regex.search(value) is not None
    return lambda value: value == wanted


def _split_host(host: bytes) -> tuple[bytes, int | None]:
    name, colon, port = host.partition(b":")
    return (name, int(port)) if colon and port.isdigit() else (host, None)


def _captures(found: re.Match[bytes]) -> dict[bytes | int, bytes]:
    captures: dict[bytes | int, bytes] = {
        at: value for at, value in enumerate(found.groups(), 1) if value is not None
    }
    captures.update((k.encode(), v) for k, v in found.groupdict().items() if v is not None)
    return captures
