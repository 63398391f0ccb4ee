"""kong.yml with more routes, or other settings on those that it has."""

import copy
from collections.abc import Mapping
from typing import Any

import yaml

from demo.kong_settings import ROOT

Document = dict[str, Any]


def written() -> Document:
    """kong.yml as it is in the repository."""
    document: Document = yaml.safe_load((ROOT / "kong.yml").read_text("utf-8"))
    return document


def text(document: Document) -> str:
    """What to write into a file."""
    return yaml.safe_dump(document, sort_keys=False, width=10_000)


def plugin(route: Document, name: str) -> Document:
    """The config of a route's plugin."""
    config: Document = next(each for each in route["plugins"] if each["name"] == name)["config"]
    return config


def protected_routes(document: Document) -> list[Document]:
    """Every route that has jan-media."""
    return [
        route
        for service in document["services"]
        for route in service["routes"]
        if any(each["name"] == "jan-media" for each in route.get("plugins", []))
    ]


def add_llm_route(
    document: Document, name: str, config: Mapping[str, Any], *, lua: bool = False
) -> Document:
    """Adds a route ``/NAME/`` to the model: like kong.yml's own but for ``config``. Returns it."""
    service = next(each for each in document["services"] if each["name"] == "jan-llm")
    route: Document = copy.deepcopy(service["routes"][0])
    route |= {"name": name, "paths": [f"/{name}/"]}
    plugin(route, "jan-media").update(config, lua=lua)
    if not lua:
        route["plugins"] = [each for each in route["plugins"] if each["name"] != "pre-function"]
    service["routes"].append(route)
    return route
