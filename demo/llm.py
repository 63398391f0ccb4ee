"""A stand-in for a vision model: it fetches each image it is given and says exactly what it got.

It speaks OpenAI's chat completions (also `stream: true`) and Responses, so that clients and tests
can prove that the right bytes arrived. Nothing about it is intelligent.

    POST /v1/chat/completions   https://platform.openai.com/docs/api-reference/chat
    POST /v1/responses          https://platform.openai.com/docs/api-reference/responses
    GET  /v1/models
    GET  /v1/received           the latest requests as they arrived: path, headers, body
    GET  /received              the same, for those who reach this server without the gateway
    GET  /healthz
"""

import argparse
import asyncio
import base64
import binascii
import hashlib
import io
import json
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import uvicorn
from PIL import Image, UnidentifiedImageError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

REMEMBERED_REQUESTS = 50
SECONDS_A_WORD = 0.01


class ImageProblem(Exception):
    """An image reference that this model cannot see. The message is for the caller."""


def image_references(body: Any) -> Iterator[str]:
    """Yields every image reference of a chat or Responses body, in reading order."""
    if isinstance(body, list):
        for item in body:
            yield from image_references(item)
    elif isinstance(body, dict):
        kind, reference = body.get("type"), body.get("image_url")
        if kind in ("image_url", "input_image") and reference is not None:
            if isinstance(reference, dict):
                reference = reference.get("url")
            if not isinstance(reference, str):
                raise ImageProblem("An image part needs a URL.")
            yield reference
        else:
            for value in body.values():
                yield from image_references(value)


async def image_bytes(reference: str, client: httpx.AsyncClient) -> bytes:
    """Returns the bytes behind a http(s) or data URL. Raises ImageProblem."""
    if reference.startswith("data:"):
        header, comma, payload = reference.partition(",")
        if not comma or not header.endswith(";base64"):
            raise ImageProblem("A data URL must be base64.")
        try:
            return base64.b64decode(payload, validate=True)
        except binascii.Error as problem:
            raise ImageProblem(f"This data URL is not base64: {problem}.") from problem
    if not reference.startswith(("http://", "https://")):
        raise ImageProblem(f"I can fetch http(s) and data URLs only, not {reference[:80]!r}.")
    try:
        answer = await client.get(reference)
    except httpx.HTTPError as problem:
        raise ImageProblem(f"Fetching the image failed: {problem}.") from problem
    if answer.status_code != 200:
        raise ImageProblem(f"Fetching the image was answered with {answer.status_code}.")
    return answer.content


def described(content: bytes) -> str:
    """Names format, size in pixels, size in bytes and SHA-256 of an image."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            shape = f"{image.format}, {image.width}×{image.height} pixels"
    except (UnidentifiedImageError, OSError) as problem:
        raise ImageProblem("The bytes behind this URL are no image that I know.") from problem
    return f"{shape}, {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}"


async def answer_text(body: Any, client: httpx.AsyncClient) -> str:
    """What this model says about a request: one line for each image."""
    lines = [
        f"Image {number}: {described(await image_bytes(reference, client))}."
        for number, reference in enumerate(image_references(body), 1)
    ]
    if not lines:
        return "I see no image."
    return "\n".join([f"I see {len(lines)} image{'s' if len(lines) > 1 else ''}.", *lines])


def problem_answer(message: str, code: str) -> Response:
    """An error in OpenAI's shape."""
    error = {"type": "invalid_request_error", "code": code, "message": message, "param": None}
    return JSONResponse({"error": error}, status_code=400)


def _event(data: Any, name: str | None = None) -> str:
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return (f"event: {name}\n" if name else "") + f"data: {text}\n\n"


def _pieces(text: str) -> Iterator[str]:
    words = text.split(" ")
    for index, word in enumerate(words):
        yield word if index == len(words) - 1 else word + " "


def chat_answer(model: str, text: str) -> Any:
    """A whole chat completion."""
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }


async def _paced(text: str) -> AsyncIterator[str]:
    """Words with a pause between them, so that a reader sees a stream and not one block."""
    for piece in _pieces(text):
        yield piece
        await asyncio.sleep(SECONDS_A_WORD)


async def chat_events(model: str, text: str) -> AsyncIterator[str]:
    """The same as server-sent events: a role, a word at a time, a finish, [DONE]."""
    head = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
    }

    def chunk(delta: dict[str, str], finish: str | None = None) -> str:
        return _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    yield chunk({"role": "assistant", "content": ""})
    async for piece in _paced(text):
        yield chunk({"content": piece})
    yield chunk({}, "stop")
    yield _event("[DONE]")


def response_answer(model: str, text: str, status: str = "completed") -> Any:
    """A whole answer of the Responses API."""
    message = {
        "id": f"msg_{uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "model": model,
        "status": status,
        "output": [message],
        "output_text": text,
    }


async def response_events(model: str, text: str) -> AsyncIterator[str]:
    """The Responses API's events that carry text."""
    whole = response_answer(model, text)
    created = {**whole, "status": "in_progress", "output": []}
    yield _event({"type": "response.created", "response": created}, "response.created")
    item = whole["output"][0]["id"]
    async for piece in _paced(text):
        delta = {"type": "response.output_text.delta", "item_id": item, "delta": piece}
        yield _event(delta, "response.output_text.delta")
    yield _event({"type": "response.completed", "response": whole}, "response.completed")


def demo_llm() -> Starlette:
    """The ASGI application."""
    received: deque[Any] = deque(maxlen=REMEMBERED_REQUESTS)

    async def converse(request: Request) -> Response:
        raw = await request.body()
        received.append(
            {
                "path": request.url.path,
                "headers": [[name, value] for name, value in request.headers.items()],
                "body": raw.decode("utf-8", "backslashreplace"),
            }
        )
        try:
            body = json.loads(raw)
        except ValueError:
            return problem_answer("The body is not JSON.", "invalid_json")
        if not isinstance(body, dict):
            return problem_answer("The body must be a JSON object.", "invalid_json")
        # The environment's proxies are not for images: these come from the gateway's own storage.
        async with httpx.AsyncClient(timeout=15, trust_env=False, follow_redirects=True) as client:
            try:
                text = await answer_text(body, client)
            except ImageProblem as problem:
                return problem_answer(str(problem), "image_not_readable")
        model = str(body.get("model", "demo"))
        chat = request.url.path.endswith("/chat/completions")
        if body.get("stream"):
            events = chat_events(model, text) if chat else response_events(model, text)
            return StreamingResponse(events, media_type="text/event-stream")
        return JSONResponse(chat_answer(model, text) if chat else response_answer(model, text))

    async def list_received(_: Request) -> Response:
        return JSONResponse(list(received))

    async def models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "jan-v2-30b", "object": "model"}]})

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/v1/chat/completions", converse, methods=["POST"]),
            Route("/v1/responses", converse, methods=["POST"]),
            Route("/v1/models", models),
            Route("/v1/received", list_received),
            Route("/received", list_received),
            Route("/healthz", health),
        ]
    )


def main() -> None:
    """Serves the demo LLM until it is told to stop."""
    arguments = argparse.ArgumentParser(description="A demo LLM that names the images it gets.")
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--port", type=int, default=8287)
    chosen = arguments.parse_args()
    uvicorn.run(demo_llm(), host=chosen.host, port=chosen.port, log_level="warning")


if __name__ == "__main__":
    main()
