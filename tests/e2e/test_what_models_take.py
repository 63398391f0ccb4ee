"""A model with its provider's limits answers if its route converts images with `fit`."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from demo.stack import Stack
from tests.e2e import kong_yml
from tests.e2e.conftest import client_for, guest_token, start_stack

FIT = {"fit": {"preset": "anthropic", "strip_metadata": True}}
ROUTES: dict[str, dict[str, Any]] = {
    "store": {"inline": "store", "inline_min_bytes": 1024, **FIT},
    "bytes": {**FIT, "resolve_as": "data_url"},
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything, with a model that has Anthropic's limits."""
    folder: Path = tmp_path_factory.mktemp("fit")
    document = kong_yml.written()
    for name, config in ROUTES.items():
        kong_yml.add_llm_route(document, name, config)
    file = folder / "kong.yml"
    file.write_text(kong_yml.text(document), "utf-8")
    made = start_stack(folder / "stack")
    made.kong_yml, made.llm_limits = file, "anthropic"
    with made:
        yield made


@pytest.fixture
def client(stack: Stack) -> Iterator[httpx.Client]:
    """A guest of that stack."""
    with client_for(stack.base_url, guest_token(stack.base_url)) as guest:
        guest.timeout = httpx.Timeout(60)
        yield guest


def picture(width: int, height: int, kind: str, **more: Any) -> bytes:
    """A picture of noise in large squares, so that it is neither tiny nor huge."""
    out = io.BytesIO()
    small = Image.effect_noise((width // 16, height // 16), 80).convert("RGB")
    small.resize((width, height), Image.Resampling.NEAREST).save(out, kind, **more)
    return out.getvalue()


def source(data: bytes, mime: str) -> dict[str, Any]:
    encoded = base64.b64encode(data).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": mime, "data": encoded}}


def ask(client: httpx.Client, route: str, *parts: dict[str, Any]) -> httpx.Response:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": list(parts)}]}
    return client.post(f"/{route}/messages", json=body)


@pytest.mark.parametrize(
    ("kind", "mime", "size"),
    [
        ("TIFF", "image/tiff", (640, 480)),
        ("BMP", "image/bmp", (640, 480)),
        ("PNG", "image/png", (8400, 64)),
    ],
)
def test_what_the_model_refuses_as_it_is_it_sees_when_it_is_made_to_fit(
    client: httpx.Client, kind: str, mime: str, size: tuple[int, int]
) -> None:
    data = picture(*size, kind)
    assert ask(client, "v1", source(data, mime)).status_code == 400
    answer = ask(client, "store", source(data, mime))
    assert answer.status_code == 200, answer.text
    assert "I see 1 image." in answer.text


def test_more_than_twenty_images_are_made_smaller_than_a_few(client: httpx.Client) -> None:
    parts = [source(picture(2048, 32 + 16 * number, "JPEG"), "image/jpeg") for number in range(21)]
    assert ask(client, "v1", *parts).status_code == 400
    answer = ask(client, "store", *parts)
    assert answer.status_code == 200, answer.text
    assert "2000×" in answer.json()["content"][0]["text"]


def test_a_conversation_that_was_too_large_reaches_the_model_as_a_few_kilobytes(
    client: httpx.Client, stack: Stack
) -> None:
    shots = [source(picture(1600, 1200, "BMP"), "image/bmp") for _ in range(4)]
    refused = ask(client, "v1", *shots)
    assert refused.status_code in (400, 413)
    answer = ask(client, "store", *shots)
    assert answer.status_code == 200, answer.text
    ids = answer.headers["X-Jan-Media"].split(", ")
    assert len(ids) == 4
    received = client.get("/v1/received").json()[-1]["body"]
    assert len(received) < 8 * 1024
    again = ask(client, "store", *shots)
    assert again.json()["content"] == answer.json()["content"]
    assert again.headers["X-Jan-Media"] == answer.headers["X-Jan-Media"]
    assert client.get(f"/media/v1/media/{ids[0]}").json()["mime"] == "image/bmp"


def test_the_bytes_put_in_are_those_that_fit(client: httpx.Client) -> None:
    uploaded = client.post(
        "/media/v1/media", files={"file": ("a.tiff", picture(640, 480, "TIFF"), "image/tiff")}
    )
    media_id = uploaded.raise_for_status().json()["id"]
    answer = ask(client, "bytes", {"type": "image", "source": {"type": "url", "url": media_id}})
    assert answer.status_code == 200, answer.text
    received = client.get("/v1/received").json()[-1]["body"]
    assert '"type": "base64"' in received or '"type":"base64"' in received
    assert "image/tiff" not in received


def test_what_cannot_be_stored_goes_on_and_the_model_says_so(client: httpx.Client) -> None:
    answer = ask(client, "store", source(b"no picture at all" * 200, "image/png"))
    assert answer.status_code == 400
    assert answer.json()["type"] == "error"
