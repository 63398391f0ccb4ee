"""One gateway for all clients: kong.yml's routes, and beside them one that stores inline media.

The clients are the published packages. Each gets what a user has: an address, a token, ids.
"""

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.addresses import url
from demo.images import drawn
from demo.stack import Stack
from tests.e2e import kong_yml
from tests.e2e.conftest import client_for, guest_token, start_stack

UNKNOWN = "jan_01hqr8v9k2x3f4g5h6j7k8m9n0"
STORING = {"inline": "store", "inline_min_bytes": 1024}


@dataclass(frozen=True)
class Gateway:
    """The gateway as a user knows it, and as the model behind it sees it."""

    url: str
    token: str
    model: str

    @property
    def openai(self) -> str:
        """The base URL of clients that add ``/chat/completions`` to it."""
        return f"{self.url}/v1"

    @property
    def storing(self) -> str:
        """The base URL, without ``/v1``, of the route that stores inline media."""
        return f"{self.url}/store"

    def upload(self, name: str) -> str:
        """The id of the image of this name, uploaded by the media API."""
        with client_for(self.url, self.token) as client:
            answer = client.post("/media/v1/media", files={"file": (name, drawn(name))})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def received(self) -> dict[str, Any]:
        """The latest request as the model received it: path, headers, body."""
        latest = httpx.get(f"{self.model}/received", trust_env=False).json()[-1]
        return {**latest, "body": json.loads(latest["body"])}


def saw(*names: str) -> str:
    """What the model says about the images of these names, in this order."""
    some = f"I see {len(names)} image{'s' if len(names) > 1 else ''}."
    return "\n".join([some, *(_line(at, drawn(name)) for at, name in enumerate(names, 1))])


def _line(at: int, content: bytes) -> str:
    kind = "JPEG" if content.startswith(b"\xff\xd8") else "PNG"
    digest = hashlib.sha256(content).hexdigest()
    return f"Image {at}: {kind}, 320×200 pixels, {len(content)} bytes, sha256 {digest}."


def base64(name: str) -> str:
    """The image of this name as base64."""
    return b64encode(drawn(name)).decode()


def data_url(name: str) -> str:
    """The image of this name as a data URL."""
    return f"data:image/{'png' if name.endswith('png') else 'jpeg'};base64,{base64(name)}"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything, with a route at ``/store/v1/`` that takes inline media in."""
    folder: Path = tmp_path_factory.mktemp("clients")
    document = kong_yml.written()
    kong_yml.add_llm_route(document, "store", STORING)["paths"] = ["/store/v1/"]
    file = folder / "kong.yml"
    file.write_text(kong_yml.text(document), "utf-8")
    made = start_stack(folder / "stack")
    made.kong_yml = file
    with made:
        yield made


@pytest.fixture(scope="session")
def gateway(stack: Stack) -> Gateway:
    """The gateway, with a guest's token."""
    return Gateway(stack.base_url, guest_token(stack.base_url), url(stack.ports.llm))
