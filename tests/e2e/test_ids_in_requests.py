"""jan_* ids in requests to the model become URLs that it can fetch; nothing else changes."""

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from demo.images import drawn

UNKNOWN = "jan_01hqr8v9k2x3f4g5h6j7k8m9n0"
JSON = {"Content-Type": "application/json"}


def seen(name: str) -> str:
    """What the model says about the image of this name."""
    content = drawn(name)
    return f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}"


def chat_with(*ids: str) -> dict[str, Any]:
    """A chat request with one image part for each id."""
    parts: list[Any] = [{"type": "text", "text": "What is this?"}]
    parts += [{"type": "image_url", "image_url": {"url": each}} for each in ids]
    return {"model": "jan-v2-30b", "messages": [{"role": "user", "content": parts}]}


def content_of(answer: httpx.Response) -> str:
    """The text of a chat completion."""
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/llm/v1/chat/completions"])
def test_an_id_in_a_chat_becomes_the_image(
    guest: httpx.Client, upload: Callable[[str], str], path: str
) -> None:
    answer = guest.post(path, json=chat_with(upload("one.png")))
    assert seen("one.png") in content_of(answer)


def test_an_id_is_accepted_in_any_case(guest: httpx.Client, upload: Callable[[str], str]) -> None:
    answer = guest.post("/v1/chat/completions", json=chat_with(upload("one.png").upper()))
    assert seen("one.png") in content_of(answer)


@pytest.mark.parametrize("count", [2, 8, 32])
def test_many_images_arrive_in_their_order(
    guest: httpx.Client, upload: Callable[[str], str], count: int
) -> None:
    names = [f"many-{index}.png" for index in range(count)]
    lines = content_of(
        guest.post("/v1/chat/completions", json=chat_with(*[upload(name) for name in names]))
    ).splitlines()[1:]
    assert [seen(name) in line for name, line in zip(names, lines, strict=True)] == [True] * count


def test_one_id_used_twice_arrives_twice(guest: httpx.Client, upload: Callable[[str], str]) -> None:
    media_id = upload("twice.png")
    text = content_of(guest.post("/v1/chat/completions", json=chat_with(media_id, media_id)))
    assert text.count(seen("twice.png")) == 2


def test_an_id_in_a_responses_request_becomes_the_image(
    guest: httpx.Client, upload: Callable[[str], str]
) -> None:
    part = {"type": "input_image", "image_url": upload("responses.webp")}
    request = {"model": "m", "input": [{"role": "user", "content": [part]}]}
    answer = guest.post("/v1/responses", json=request)
    assert answer.status_code == 200, answer.text
    assert seen("responses.webp") in answer.json()["output"][0]["content"][0]["text"]


def test_the_older_placeholder_becomes_the_image(
    guest: httpx.Client, upload: Callable[[str], str]
) -> None:
    placeholder = f"data:image/png;{upload('older.png')}"
    assert seen("older.png") in content_of(
        guest.post("/v1/chat/completions", json=chat_with(placeholder))
    )


def test_a_stream_passes_as_it_is_made(guest: httpx.Client, upload: Callable[[str], str]) -> None:
    body = {**chat_with(upload("stream.png")), "stream": True}
    text, arrivals, last = "", [], ""
    with guest.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line:
                arrivals.append(time.monotonic())
                last = line
            if line.startswith("data: {"):
                delta = json.loads(line.removeprefix("data: "))["choices"][0]["delta"]
                text += delta.get("content", "")
    assert seen("stream.png") in text
    assert last == "data: [DONE]"
    # The model pauses 10 ms after each of a dozen words: held back, all would come at once.
    assert arrivals[-1] - arrivals[0] > 0.05


def test_everything_but_the_id_stays_byte_for_byte(
    guest: httpx.Client, upload: Callable[[str], str], received: Callable[[], list[Any]]
) -> None:
    media_id = upload("exact.png")
    before = (
        '{ "model":"m","seed":12345678901234567890,"temperature":1.0e0,"temperature" : 1E+0,\n'
        '\t"user":"caf\\u00e9 \\/ 😀 ' + media_id + '",'
        '"metadata":{"image_url":"not media: ' + media_id + '"},'
        '"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"'
    )
    after = '"}},{"type":"text","text":"' + media_id + '"}]}]}  '
    answer = guest.post("/v1/chat/completions", content=before + media_id + after, headers=JSON)
    assert seen("exact.png") in content_of(answer)
    arrived = received()[-1]["body"]
    assert arrived.startswith(before)
    assert arrived.endswith(after)
    assert arrived[len(before) : -len(after)].startswith("http")


@pytest.mark.parametrize("body", ['{"no": "id",  "n": 1.50}', "not json jan_01", "[1, 2 ,3]"])
def test_a_body_without_an_id_arrives_untouched(
    guest: httpx.Client, received: Callable[[], list[Any]], body: str
) -> None:
    guest.post("/v1/chat/completions", content=body, headers=JSON)
    assert received()[-1]["body"] == body


def test_an_unknown_id_is_refused_and_its_place_named(
    guest: httpx.Client, received: Callable[[], list[Any]]
) -> None:
    marker = f"marker-{time.time_ns()}"
    answer = guest.post("/v1/chat/completions", json={**chat_with(UNKNOWN), "user": marker})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "media_not_found")
    assert error["param"] == "messages[0].content[1].image_url.url"
    assert not any(marker in each["body"] for each in received())


@pytest.mark.parametrize("kibibytes", [100, 1024, 8192])
def test_a_large_body_with_an_id_arrives_whole_and_soon(
    guest: httpx.Client,
    upload: Callable[[str], str],
    received: Callable[[], list[Any]],
    kibibytes: int,
) -> None:
    body = chat_with(upload("large.png"))
    filler = "x" * (kibibytes * 1024)
    body["messages"].insert(0, {"role": "system", "content": filler})
    started = time.monotonic()
    text = content_of(guest.post("/v1/chat/completions", json=body))
    assert time.monotonic() - started < 5
    assert seen("large.png") in text
    arrived = json.loads(received()[-1]["body"])
    assert arrived["messages"][0] == {"role": "system", "content": filler}
