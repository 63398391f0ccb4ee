"""The demo model speaks the SDKs' APIs, and refuses what a provider would refuse."""

import base64
import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from demo.images import drawn
from demo.limits import MIB, PROVIDERS
from demo.llm import demo_llm

PICTURE = drawn("a.png")
BASE64 = base64.b64encode(PICTURE).decode()
DATA_URL = f"data:image/png;base64,{BASE64}"
PDF = base64.b64encode(b"%PDF-1.4 of the test").decode()

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
GENERATE = "/v1beta/models/m:generateContent"
STREAM = "/v1beta/models/m:streamGenerateContent"


@pytest.fixture
def llm() -> Iterator[TestClient]:
    """The application, called in this process."""
    with TestClient(demo_llm()) as client:
        yield client


def asked(path: str, part: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A request of the path's API with one part of media."""
    if path in (GENERATE, STREAM):
        return {"contents": [{"role": "user", "parts": [part]}], **more}
    name = "input" if path == RESPONSES else "messages"
    return {"model": "m", name: [{"role": "user", "content": [part]}], **more}


def events(text: str) -> list[dict[str, Any]]:
    """The data of server-sent events, but for [DONE]."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@pytest.mark.parametrize(
    ("path", "part"),
    [
        (CHAT, {"type": "image_url", "image_url": {"url": DATA_URL}}),
        (CHAT, {"type": "image_url", "image_url": DATA_URL}),
        (RESPONSES, {"type": "input_image", "image_url": DATA_URL}),
        (
            MESSAGES,
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": BASE64},
            },
        ),
        (MESSAGES, {"type": "image", "source": {"type": "url", "url": DATA_URL}}),
        (GENERATE, {"inlineData": {"mimeType": "image/png", "data": BASE64}}),
        (GENERATE, {"inline_data": {"mime_type": "image/png", "data": BASE64}}),
        (GENERATE, {"fileData": {"mimeType": "image/png", "fileUri": DATA_URL}}),
    ],
)
def test_it_sees_an_image_in_each_form_of_each_api(
    llm: TestClient, path: str, part: dict[str, Any]
) -> None:
    saw = f"Image 1: PNG, 320×200 pixels, {len(PICTURE)} bytes"
    assert saw in llm.post(path, json=asked(path, part)).text


@pytest.mark.parametrize(
    ("path", "part"),
    [
        (CHAT, {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}"}}),
        (RESPONSES, {"type": "input_file", "file_url": f"data:application/pdf;base64,{PDF}"}),
        (MESSAGES, {"type": "document", "source": {"type": "base64", "data": PDF}}),
        (GENERATE, {"inlineData": {"mimeType": "application/pdf", "data": PDF}}),
    ],
)
def test_it_tells_what_a_file_is(llm: TestClient, path: str, part: dict[str, Any]) -> None:
    assert "Image 1: PDF, 20 bytes" in llm.post(path, json=asked(path, part)).text


@pytest.mark.parametrize(
    ("path", "part"),
    [
        (CHAT, {"type": "image_url", "image_url": {}}),
        (CHAT, {"type": "file", "file": {"file_id": "jan_01hqr8v9k2x3f4g5h6j7k8m9n0"}}),
        (RESPONSES, {"type": "input_image", "file_id": "jan_01hqr8v9k2x3f4g5h6j7k8m9n0"}),
        (MESSAGES, {"type": "image", "source": {"type": "file", "file_id": "jan_01h"}}),
        (MESSAGES, {"type": "image", "source": {"type": "base64", "data": "@"}}),
        (GENERATE, {"fileData": {"fileUri": "jan_01hqr8v9k2x3f4g5h6j7k8m9n0"}}),
    ],
)
def test_a_medium_that_it_cannot_see_is_an_error_in_the_shape_of_the_api(
    llm: TestClient, path: str, part: dict[str, Any]
) -> None:
    answer = llm.post(path, json=asked(path, part))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["message"]
    if path == MESSAGES:
        assert answer.json()["type"] == "error"
        assert error["type"] == "invalid_request_error"
    elif path == GENERATE:
        assert error["status"] == "INVALID_ARGUMENT"
    else:
        assert error["code"] == "image_not_readable"


def test_a_chat_stream_ends_with_its_usage_if_that_is_asked_for(llm: TestClient) -> None:
    part = {"type": "image_url", "image_url": {"url": DATA_URL}}
    request = asked(CHAT, part, stream=True, stream_options={"include_usage": True})
    *chunks, last = events(llm.post(CHAT, json=request).text)
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    usage = last["usage"]
    assert usage["prompt_tokens"] > 320 * 200 // 750
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    whole = llm.post(CHAT, json=asked(CHAT, part)).json()
    assert whole["usage"] == usage


def test_responses_stream_every_event_of_a_message_in_order(llm: TestClient) -> None:
    request = asked(RESPONSES, {"type": "input_image", "image_url": DATA_URL}, stream=True)
    sent = events(llm.post(RESPONSES, json=request).text)
    assert [event["sequence_number"] for event in sent] == list(range(len(sent)))
    kinds = [event["type"].removeprefix("response.") for event in sent]
    deltas = kinds.count("output_text.delta")
    assert kinds == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *["output_text.delta"] * deltas,
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    text = "".join(event.get("delta", "") for event in sent)
    assert sent[-1]["response"]["output"][0]["content"][0]["text"] == text
    assert sent[-1]["response"]["usage"]["output_tokens"] > 1


def test_messages_stream_as_anthropic_does(llm: TestClient) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": BASE64}
    request = asked(MESSAGES, {"type": "image", "source": source}, stream=True)
    sent = events(llm.post(MESSAGES, json=request).text)
    kinds = [event["type"] for event in sent if event["type"] != "content_block_delta"]
    assert kinds == [
        *("message_start", "content_block_start", "ping"),
        *("content_block_stop", "message_delta", "message_stop"),
    ]
    text = "".join(event["delta"].get("text", "") for event in sent if "delta" in event)
    assert f"{len(PICTURE)} bytes" in text


def test_gemini_streams_pieces_of_the_text(llm: TestClient) -> None:
    part = {"inlineData": {"mimeType": "image/png", "data": BASE64}}
    sent = events(llm.post(STREAM, params={"alt": "sse"}, json=asked(STREAM, part)).text)
    text = "".join(event["candidates"][0]["content"]["parts"][0]["text"] for event in sent)
    assert f"{len(PICTURE)} bytes" in text
    assert sent[-1]["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.parametrize(
    ("headers", "kind"), [({}, "object"), ({"anthropic-version": "2023-06-01"}, "type")]
)
def test_a_model_can_be_looked_up(llm: TestClient, headers: dict[str, str], kind: str) -> None:
    first = llm.get("/v1/models", headers=headers).json()["data"][0]
    assert first[kind] == "model"
    assert llm.get(f"/v1/models/{first['id']}", headers=headers).json() == first
    assert llm.get("/v1/models/none", headers=headers).status_code == 404


def test_messages_tokens_are_counted_without_an_answer(llm: TestClient) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": BASE64}
    request = asked(MESSAGES, {"type": "image", "source": source})
    counted = llm.post(f"{MESSAGES}/count_tokens", json=request).json()
    cost = llm.post(MESSAGES, json=request).json()["usage"]["input_tokens"]
    assert counted == {"input_tokens": cost}


def limited(provider: str, path: str, *pictures: bytes) -> tuple[int, str]:
    """What a model with a provider's limits says to pictures: status, and message or text."""
    parts = [
        {"type": "image", "source": {"type": "base64", "data": base64.b64encode(each).decode()}}
        if path == MESSAGES
        else {
            "type": "image_url",
            "image_url": {"url": "data:;base64," + base64.b64encode(each).decode()},
        }
        for each in pictures
    ]
    with TestClient(demo_llm(PROVIDERS[provider])) as llm:
        answer = llm.post(path, json={"messages": [{"role": "user", "content": parts}]})
        return answer.status_code, answer.text


def test_anthropics_limits() -> None:
    wide = drawn("wide.png", 2001, 10)
    assert limited("anthropic", MESSAGES, *[wide] * 20)[0] == 200
    status, text = limited("anthropic", MESSAGES, *[wide] * 21)
    assert (status, "2000 pixels" in text) == (400, True)
    assert limited("anthropic", MESSAGES, drawn("wider.png", 8001, 10))[0] == 400
    assert limited("anthropic", MESSAGES, PICTURE + bytes(5 * MIB))[0] == 400
    assert limited("anthropic", MESSAGES, b"BM no image")[0] == 400


def test_a_body_over_the_providers_limit_is_a_413() -> None:
    large = PICTURE + bytes(4 * MIB)
    status, text = limited("anthropic", MESSAGES, *[large] * 6)
    assert status == 413
    assert json.loads(text)["error"]["type"] == "request_too_large"


def test_openai_takes_no_animation() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    moving = BytesIO()
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    assert limited("openai", CHAT, drawn("a.gif"))[0] == 200
    assert limited("openai", CHAT, moving.getvalue())[0] == 400
