"""A gateway to measure: all parts, an upstream that answers at once, and routes for the benches.

The gateway is devkong, or the Kong that KONG_BIN names, which gives production figures.
"""

import copy
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from bench.upstream import running_upstream
from demo.addresses import free_ports
from demo.kong_settings import ROOT
from demo.stack import Stack, chosen_kong
from tests.support.pictures import picture

JSON = {"Content-Type": "application/json"}
PLAIN = "/plain/chat/completions"
"""A path to the model without the plugin."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway, and a guest who may use it."""

    name: str  # Kong or devkong
    url: str
    upstream: str
    headers: Mapping[str, str]  # the guest's token
    stack: Stack
    folder: Path

    def upload(self, data: bytes | None = None) -> str:
        """Upload a picture, a new small one unless given; return its id."""
        file = {"file": ("bench.png", data or picture(), "image/png")}
        answer = httpx.post(
            f"{self.url}/media/v1/media",
            headers=self.headers,
            files=file,
            timeout=60,
            trust_env=False,
        )
        return str(answer.raise_for_status().json()["id"])


@contextmanager
def running_gateway(routes: Mapping[str, Mapping[str, Any]]) -> Iterator[Gateway]:
    """Start everything, with kong.yml's routes and a few more.

    ``routes`` maps the name of a route (``cold`` has the path /cold/) to the fields of jan-media
    that differ from kong.yml's route to the model. ``/plain/`` has no plugin at all.
    """
    kong = chosen_kong(os.environ)
    with (
        tempfile.TemporaryDirectory(prefix="jan-bench-") as name,
        running_upstream() as upstream,
    ):
        folder = Path(name)
        kong_yml = folder / "kong.yml"
        kong_yml.write_text(_with_routes((ROOT / "kong.yml").read_text("utf-8"), routes), "utf-8")
        ports = free_ports()
        with Stack(folder / "parts", ports, kong, upstream, kong_yml=kong_yml) as stack:
            answer = httpx.post(f"{stack.base_url}/llm/auth/guest-login", trust_env=False)
            token = answer.raise_for_status().json()["access_token"]
            yield Gateway(
                name="Kong" if kong else "devkong",
                url=stack.base_url,
                upstream=upstream,
                headers={"Authorization": f"Bearer {token}"},
                stack=stack,
                folder=folder,
            )


def _with_routes(written: str, routes: Mapping[str, Mapping[str, Any]]) -> str:
    config: dict[str, Any] = yaml.safe_load(written)
    (llm,) = (each for each in config["services"] if each["name"] == "jan-llm")
    usual = copy.deepcopy(next(each for each in llm["routes"] if each["name"] == "llm"))
    # Rate limits would stop a load from one guest.
    for limited in (config, *llm["routes"]):
        _without_limits(limited)
    llm["routes"].append({"name": "plain", "paths": ["/plain/"], "strip_path": True})
    for name, fields in routes.items():
        route = copy.deepcopy(usual) | {"name": name, "paths": [f"/{name}/"]}
        for plugin in route["plugins"]:
            if plugin["name"] == "jan-media":
                plugin["config"].update(fields)
        llm["routes"].append(route)
    return yaml.safe_dump(config, sort_keys=False, width=1000)


def _without_limits(limited: dict[str, Any]) -> None:
    plugins = limited.get("plugins", ())
    limited["plugins"] = [each for each in plugins if each["name"] != "rate-limiting"]


def chat(*parts: dict[str, Any], text: str = "What is in these pictures?") -> dict[str, Any]:
    """A chat request of one message."""
    content = [{"type": "text", "text": text}, *parts]
    return {"model": "jan-v2-30b", "messages": [{"role": "user", "content": content}]}


def image(url: str) -> dict[str, Any]:
    """A part of a chat request that shows an image."""
    return {"type": "image_url", "image_url": {"url": url}}
