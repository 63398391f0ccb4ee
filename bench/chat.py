"""Chat requests of chosen size, with chosen media, as clients send them."""

import base64
import json
import random
from collections.abc import Sequence
from typing import Any

Text = str | bytes
Headers = dict[Text, Text | list[Text]]

USUAL_BYTES = 2048
_PROSE = (
    'The quick model looks at the picture, then it says "what" it sees: a street at night, '
    "two people under one umbrella, snake_case_names on a sign.\nIs there more? Ja, größer. "
)


def chat_body(ids: Sequence[str], size: int = USUAL_BYTES) -> bytes:
    """A conversation in prose of about ``size`` bytes, whose last message shows ``ids``."""
    shown = {"role": "user", "content": _content(ids)}
    messages = [{"role": "system", "content": "You are helpful."}]
    body = _request([*messages, shown])
    while len(body) < size:
        # Messages of 2 KB: about as many as there are of them in a long conversation.
        missing = min(size - len(body), 2048) - 40
        if missing <= 0:
            break
        said = (_PROSE * (missing // len(_PROSE) + 1))[:missing]
        count = max(1, (size - len(body)) // 2200)
        messages += [
            {"role": "assistant" if at % 2 else "user", "content": said} for at in range(count)
        ]
        body = _request([*messages, shown])
    return body


def body_with_inline_image(ids: Sequence[str], size: int) -> bytes:
    """One message with an image of about ``size`` bytes as a data URL, then ``ids``."""
    data = base64.b64encode(random.Random(size).randbytes(max(3, size * 3 // 4 - 300)))  # noqa: S311
    inline = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + data.decode()}}
    return _request([{"role": "user", "content": [inline, *_content(ids)]}])


def _content(ids: Sequence[str]) -> list[dict[str, Any]]:
    images = [{"type": "image_url", "image_url": {"url": media_id}} for media_id in ids]
    return [{"type": "text", "text": "What is in these pictures?"}, *images]


def _request(messages: list[dict[str, Any]]) -> bytes:
    request = {"model": "jan-v2-30b", "messages": messages, "stream": True}
    return json.dumps(request, ensure_ascii=False).encode()


def chat_headers(token: str | None, body: bytes) -> Headers:
    """Of a usual client: curl or an SDK."""
    headers: Headers = {
        "host": "gateway.example",
        "user-agent": "OpenAI/Python 1.99.0",
        "accept": "application/json",
        "accept-encoding": "gzip, deflate",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return headers


def upload_headers(token: str) -> Headers:
    """Of an upload, whose body goes past the plugin."""
    return {
        "host": "gateway.example",
        "user-agent": "curl/8.5.0",
        "accept": "*/*",
        "content-type": "multipart/form-data; boundary=------------------------bench",
        "content-length": "50412",
        "authorization": f"Bearer {token}",
    }
