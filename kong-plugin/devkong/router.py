"""Finds a request's route: Kong's traditional_compatible router, for paths, methods and hosts.

A route is split by path: one candidate for all its regexes, one for each length of its prefixes.
The first candidate that matches wins, in the order of `_priority`. Between equals Kong compares
the routes' random ids; here the one declared first wins.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from devkong.config.entities import Route


class Match(NamedTuple):
    """A route, and the part of the path that it matched: None if it has no paths."""

    route: Route
    path: bytes | None


@dataclass(frozen=True)
class _Candidate:
    route: Route
    prefixes: tuple[bytes, ...]
    regexes: tuple[re.Pattern[bytes], ...]
    priority: tuple[int, ...]

    def match(self, method: bytes, host: bytes, path: bytes) -> Match | None:
        route = self.route
        if route.methods and method.decode("latin-1") not in route.methods:
            return None
        if route.hosts and not any(_is_host(each, host) for each in route.hosts):
            return None
        if not self.prefixes and not self.regexes:
            return Match(route, None)
        for prefix in self.prefixes:
            if path.startswith(prefix):
                return Match(route, prefix)
        for regex in self.regexes:
            found = regex.match(path)
            if found:
                return Match(route, found[0])
        return None


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        candidates = [candidate for route in routes for candidate in _split(route)]
        # sort is stable: routes keep the order of their declaration
        self._candidates = sorted(candidates, key=lambda c: c.priority, reverse=True)

    def find(self, method: bytes, host: bytes, path: bytes) -> Match | None:
        """Return the match with the highest priority.

        host: in lower case, without a port. path: normalized.
        """
        matches = (candidate.match(method, host, path) for candidate in self._candidates)
        return next((match for match in matches if match), None)


def _split(route: Route) -> Iterable[_Candidate]:
    groups: dict[int, list[str]] = {}
    for path in route.paths:
        groups.setdefault(0 if path.startswith("~") else len(path), []).append(path)
    for length, paths in groups.items() or [(-1, [])]:
        is_regex = length == 0
        yield _Candidate(
            route=route,
            prefixes=() if is_regex else tuple(path.encode() for path in paths),
            regexes=tuple(compiled(path) for path in paths) if is_regex else (),
            priority=_priority(route, is_regex, max(length, 0)),
        )


def _priority(route: Route, is_regex: bool, length: int) -> tuple[int, ...]:
    attributes = sum(map(bool, (route.methods, route.hosts, route.paths)))
    plain_hosts = bool(route.hosts) and not any("*" in host for host in route.hosts)
    return attributes, int(plain_hosts), int(is_regex), length


def compiled(path: str) -> re.Pattern[bytes]:
    """Return the regex of a path that begins with ~. Raises re.error."""
    return re.compile(re.sub(r"\?<(?![=!])", "?P<", path[1:]).encode())


def _is_host(pattern: str, host: bytes) -> bool:
    wanted = pattern.lower().encode()
    if wanted.startswith(b"*"):
        return host.endswith(wanted[1:])
    if wanted.endswith(b"*"):
        return host.startswith(wanted[:-1])
    return host == wanted
