"""The requests of Google's SDK for Python (google-genai 3.6), as it sends them to generateContent.

The tests replay a recording: some of its names are in camelCase, its base64 is URL-safe, and its
key is in a header of its own.
"""

from base64 import urlsafe_b64encode
from typing import Any

import httpx

from demo.images import drawn
from tests.e2e.clients.conftest import UNKNOWN, Gateway, saw


def generate(gateway: Gateway, base_url: str, part: dict[str, Any]) -> httpx.Response:
    contents = [{"parts": [part, {"text": "What is this?"}], "role": "user"}]
    return httpx.post(
        f"{base_url}/models/jan-v2-30b:generateContent",
        json={"contents": contents},
        headers={"x-goog-api-key": gateway.token, "x-goog-api-client": "google-genai-sdk/3.6.1"},
        timeout=60,
        trust_env=False,
    )


def by_uri(media_id: str) -> dict[str, Any]:
    return {"fileData": {"file_uri": media_id, "mime_type": "image/png"}}


def inline(name: str) -> dict[str, Any]:
    data = urlsafe_b64encode(drawn(name)).decode()
    assert "_" in data
    return {"inlineData": {"data": data, "mime_type": "image/png"}}


def text(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["candidates"][0]["content"]["parts"][0]["text"])


def test_an_id_as_a_file_uri(gateway: Gateway) -> None:
    answer = generate(gateway, f"{gateway.url}/v1beta", by_uri(gateway.upload("google.png")))
    assert text(answer) == saw("google.png")


def test_inline_bytes_as_they_are_and_stored(gateway: Gateway) -> None:
    for base_url in (f"{gateway.url}/v1beta", f"{gateway.storing}/v1"):
        answer = generate(gateway, base_url, inline("inline.png"))
        assert text(answer) == saw("inline.png")
    assert answer.headers["X-Jan-Media"] == gateway.upload("inline.png")


def test_an_unknown_id_is_an_error_that_names_its_place(gateway: Gateway) -> None:
    answer = generate(gateway, f"{gateway.url}/v1beta", by_uri(UNKNOWN))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "contents[0].parts[0].fileData.file_uri"
