"""Which route wins: Kong's traditional_compatible router."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from devkong.config.declarative import load
from devkong.router import Router


def router_of(tmp_path: Path, **routes: dict[str, Any]) -> Router:
    listed = [{"name": name, **fields} for name, fields in routes.items()]
    service = {"name": "s", "url": "http://127.0.0.1:1", "routes": listed}
    path = tmp_path / "kong.yml"
    path.write_text(yaml.safe_dump({"_format_version": "3.0", "services": [service]}))
    return Router(load(path, {}).routes)


def winner(router: Router, path: str, method: str = "GET", host: str = "gate.test") -> str | None:
    match = router.find(method.encode(), host.encode(), path.encode())
    return match.route.name if match else None


def test_the_longest_prefix_wins(tmp_path: Path) -> None:
    router = router_of(tmp_path, short={"paths": ["/v1"]}, long={"paths": ["/v1/media"]})
    assert winner(router, "/v1/media/x") == "long"
    assert winner(router, "/v1/chat") == "short"


def test_a_prefix_matches_inside_a_segment(tmp_path: Path) -> None:
    router = router_of(tmp_path, tea={"paths": ["/tea"]})
    assert winner(router, "/teapot") == "tea"


def test_one_route_counts_each_of_its_paths_by_its_own_length(tmp_path: Path) -> None:
    router = router_of(
        tmp_path, both={"paths": ["/a", "/b/long/path"]}, middle={"paths": ["/b/long", "/a/long"]}
    )
    assert winner(router, "/b/long/path") == "both"
    assert winner(router, "/a/long") == "middle"


def test_a_regex_wins_over_any_prefix_and_is_anchored(tmp_path: Path) -> None:
    router = router_of(
        tmp_path, prefix={"paths": ["/v1/media/x"]}, regex={"paths": [r"~/v1/m\w+/"]}
    )
    assert winner(router, "/v1/media/x") == "regex"
    assert winner(router, "/z/v1/media/x") is None


def test_more_kinds_of_attributes_win_over_a_longer_path(tmp_path: Path) -> None:
    router = router_of(
        tmp_path,
        path={"paths": ["/a/very/long/path"]},
        host_and_path={"paths": ["/a"], "hosts": ["gate.test"]},
    )
    assert winner(router, "/a/very/long/path") == "host_and_path"
    assert winner(router, "/a/very/long/path", host="other.test") == "path"


def test_a_method_narrows_a_route(tmp_path: Path) -> None:
    router = router_of(tmp_path, posts={"paths": ["/a"], "methods": ["POST"]})
    assert winner(router, "/a", "POST") == "posts"
    assert winner(router, "/a", "GET") is None


@pytest.mark.parametrize(
    ("pattern", "host", "matches"),
    [
        ("Gate.test", "gate.test", True),
        ("gate.test", "other.test", False),
        ("*.gate.test", "a.gate.test", True),
        ("*.gate.test", "gate.test", False),
        ("gate.*", "gate.org", True),
    ],
)
def test_hosts_match_with_wildcards(tmp_path: Path, pattern: str, host: str, matches: bool) -> None:
    router = router_of(tmp_path, hosted={"hosts": [pattern]})
    assert (winner(router, "/", host=host) == "hosted") is matches


def test_a_plain_host_wins_over_a_wildcard(tmp_path: Path) -> None:
    router = router_of(tmp_path, wild={"hosts": ["*.test"]}, plain={"hosts": ["gate.test"]})
    assert winner(router, "/") == "plain"
