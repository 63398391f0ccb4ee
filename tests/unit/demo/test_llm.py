"""The demo LLM names exactly what it got."""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from demo.image_host import ImageHost
from demo.images import drawn
from demo.llm import demo_llm

CHAT = "/v1/chat/completions"


@pytest.fixture
def llm() -> Iterator[TestClient]:
    """The application, called in this process."""
    with TestClient(demo_llm()) as client:
        yield client


def chat(*urls: str, **more: Any) -> dict[str, Any]:
    """A chat request with one image part for each URL."""
    parts = [{"type": "image_url", "image_url": {"url": each}} for each in urls]
    return {"model": "m", "messages": [{"role": "user", "content": parts}], **more}


def expected(content: bytes, kind: str) -> str:
    """The words for an image."""
    digest = hashlib.sha256(content).hexdigest()
    return f"{kind}, 320×200 pixels, {len(content)} bytes, sha256 {digest}"


def test_it_fetches_each_url_and_decodes_each_data_url(llm: TestClient) -> None:
    inline = "data:image/webp;base64," + base64.b64encode(drawn("b.webp")).decode()
    with ImageHost() as images:
        answer = llm.post(CHAT, json=chat(f"{images.base_url}/a.png", inline)).json()
    text = answer["choices"][0]["message"]["content"].splitlines()
    assert text == [
        "I see 2 images.",
        f"Image 1: {expected(drawn('a.png'), 'PNG')}.",
        f"Image 2: {expected(drawn('b.webp'), 'WEBP')}.",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "jan_01hqr8v9k2x3f4g5h6j7k8m9n0",
        "http://127.0.0.1:9/a.png",
        "data:image/png;base64,@",
        "data:image/png;base64,aGVsbG8=",
    ],
)
def test_what_it_cannot_see_is_a_clear_error(llm: TestClient, url: str) -> None:
    answer = llm.post(CHAT, json=chat(url))
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "image_not_readable"


def test_a_stream_carries_the_same_text_in_pieces(llm: TestClient) -> None:
    answer = llm.post(CHAT, json=chat(stream=True))
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert events[-1] == "[DONE]"
    deltas = [json.loads(each)["choices"][0]["delta"].get("content", "") for each in events[:-1]]
    assert len(deltas) > 3
    assert "".join(deltas) == "I see no image."


def test_responses_answer_whole_and_streamed(llm: TestClient) -> None:
    url = "data:image/png;base64," + base64.b64encode(drawn("a.png")).decode()
    request = {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]}
    whole = llm.post("/v1/responses", json=request).json()
    text = whole["output"][0]["content"][0]["text"]
    assert expected(drawn("a.png"), "PNG") in text
    streamed = llm.post("/v1/responses", json={**request, "stream": True}).text
    events = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: ")]
    assert events[0]["type"] == "response.created"
    assert "".join(event.get("delta", "") for event in events) == text
    assert events[-1]["response"]["output_text"] == text


def test_it_remembers_what_it_received(llm: TestClient) -> None:
    llm.post(CHAT, content='{"n": 1.0}', headers={"X-Seen": "yes"})
    latest = llm.get("/v1/received").json()[-1]
    assert (latest["path"], latest["body"]) == (CHAT, '{"n": 1.0}')
    assert ["x-seen", "yes"] in latest["headers"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/nothing"), ("PUT", CHAT), ("GET", CHAT)])
def test_a_path_or_a_method_that_there_is_not_is_an_error_in_the_one_shape(
    llm: TestClient, method: str, path: str
) -> None:
    answer = llm.request(method, path)
    assert answer.status_code == (404 if path.endswith("nothing") else 405)
    assert answer.json()["error"].keys() == {"type", "code", "message", "param"}
