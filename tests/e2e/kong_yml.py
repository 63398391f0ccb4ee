"""kong.yml with more routes, or other settings on those that it has."""

import copy
import json
from collections.abc import Mapping
from typing import Any

import yaml

from demo.kong_settings import ROOT

Document = dict[str, Any]


def written() -> Document:
    """kong.yml as it is in the repository."""
    text = (ROOT / "kong.yml").read_text("utf-8")
    # Through JSON, so that what two routes share in the file is not one object here.
    document: Document = json.loads(json.dumps(yaml.safe_load(text)))
    return document


def text(document: Document) -> str:
    """What to write into a file."""
    return yaml.safe_dump(document, sort_keys=False, width=10_000)


def plugin(route: Document, name: str) -> Document:
    """The config of a route's plugin."""
    config: Document = next(each for each in route["plugins"] if each["name"] == name)["config"]
    return config


def protected_routes(document: Document) -> list[Document]:
    """Every route on which jan-media asks who is calling."""
    return [
        route
        for service in document["services"]
        for route in service["routes"]
        for each in route.get("plugins", [])
        if each["name"] == "jan-media" and each["config"]["auth"] != "off"
    ]


def add_llm_route(document: Document, name: str, config: Mapping[str, Any]) -> Document:
    """Adds a route ``/NAME/`` to the model: like kong.yml's own but for ``config``. Returns it."""
    service = next(each for each in document["services"] if each["name"] == "jan-llm")
    route: Document = copy.deepcopy(service["routes"][0])
    route |= {"name": name, "paths": [f"/{name}/"]}
    plugin(route, "jan-media").update(config)
    service["routes"].append(route)
    return route
