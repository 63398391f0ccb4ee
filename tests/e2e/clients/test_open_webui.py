"""Open WebUI's requests, as its backend sends them to an OpenAI-compatible connection.

It runs as a server of its own, so what is replayed is a recording in its shape: JSON with every
character beyond ASCII escaped, images inline as data URLs again in each turn, members of its own
beside those of the API, headers that name its user, and questions of its own about the chat (a
title, follow-ups) that quote what was said as text.
"""

import json
from typing import Any

import httpx
import pytest

from tests.e2e.clients.conftest import UNKNOWN, Gateway, base64, data_url, saw

# With "forward user info" switched on.
OF_ITS_USER = {
    "X-OpenWebUI-User-Name": "Zo%C3%AB",
    "X-OpenWebUI-User-Id": "0b9e1f3c-6a51-4f7e-9a0c-0c4a8a4f9e11",
    "X-OpenWebUI-User-Email": "zoe@example.com",
    "X-OpenWebUI-User-Role": "user",
    "X-OpenWebUI-Chat-Id": "5f0c3a52-7d43-45c3-8a57-1f5fb4f0d1f6",
}


def send(gateway: Gateway, base_url: str, body: dict[str, Any]) -> httpx.Response:
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {gateway.token}",
        "User-Agent": "Python/3.11 aiohttp/3.12",
        **OF_ITS_USER,
    }
    content = json.dumps(body)  # ASCII, as it writes it
    url = f"{base_url}/chat/completions"
    return httpx.post(url, content=content, headers=headers, timeout=60, trust_env=False)


def turn(text: str, *urls: str) -> dict[str, Any]:
    images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"role": "user", "content": [{"type": "text", "text": text}, *images]}


def chat(*messages: dict[str, Any]) -> dict[str, Any]:
    """A turn of a chat in its window: streamed, with the usage."""
    return {
        "stream": True,
        "model": "jan-v2-30b",
        "messages": [{"role": "system", "content": "Answer Zoë in short."}, *messages],
        "stream_options": {"include_usage": True},
        "temperature": 0.7,
    }


def streamed(answer: httpx.Response) -> str:
    """The text that its window shows; the stream has its usage at the end."""
    assert answer.status_code == 200, answer.text
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
    chunks = [json.loads(line) for line in lines]
    assert chunks[-1]["usage"]["total_tokens"] > 0
    return "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])


def test_its_list_of_models(gateway: Gateway) -> None:
    headers = {"Authorization": f"Bearer {gateway.token}"}
    answer = httpx.get(f"{gateway.openai}/models", headers=headers, trust_env=False)
    assert [each["id"] for each in answer.json()["data"]] == ["jan-v2-30b", "jan-v2-8b"]


@pytest.mark.parametrize("stores", [False, True])
def test_a_chat_that_sends_its_images_again_in_each_turn(gateway: Gateway, stores: bool) -> None:
    base_url = f"{gateway.storing}/v1" if stores else gateway.openai
    first = turn("What is this? 🖼", data_url("one.png"))
    assert streamed(send(gateway, base_url, chat(first))) == saw("one.png")
    said = {"role": "assistant", "content": saw("one.png")}
    second = turn("And these?", data_url("two.png"), data_url("three.jpg"))
    answer = send(gateway, base_url, chat(first, said, second))
    assert streamed(answer) == saw("one.png", "two.png", "three.jpg")
    assert (base64("one.png") in str(gateway.received()["body"])) is not stores
    ids = answer.headers.get("X-Jan-Media", "").split(", ")
    assert len(ids) == (3 if stores else 1)


def test_an_id_in_place_of_an_image(gateway: Gateway) -> None:
    body = chat(turn("What is this?", gateway.upload("one.png")))
    assert streamed(send(gateway, gateway.openai, body)) == saw("one.png")


def test_a_title_for_a_chat_that_speaks_of_an_id(gateway: Gateway) -> None:
    history = f"<chat_history>\nUSER: What is {UNKNOWN}?\n</chat_history>"
    question = f'### Task:\nGenerate a title as JSON: {{ "title": "…" }}\n{history}'
    body = {"model": "m", "messages": [{"role": "user", "content": question}], "stream": False}
    assert send(gateway, gateway.openai, body).status_code == 200
    assert gateway.received()["body"] == body


def test_an_unknown_id_is_an_error_that_its_window_can_show(gateway: Gateway) -> None:
    answer = send(gateway, gateway.openai, chat(turn("What is this?", UNKNOWN)))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert UNKNOWN in error["message"]
    assert error["param"] == "messages[1].content[1].image_url.url"
