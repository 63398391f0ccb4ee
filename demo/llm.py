"""A stand-in for a vision model: it fetches each image of a request and says exactly what it got.

Clients and tests use it to prove that the right bytes arrived. It has no intelligence.

    POST /v1/chat/completions, /v1/responses, /v1/messages      see demo/dialects.py
    POST /v1/messages/count_tokens
    POST /v1beta/models/{model}:generateContent, :streamGenerateContent (below /v1 too)
    GET  /v1/models, /v1/models/{model}
    GET  /v1/received           the latest requests as they arrived: path, headers, body;
                                with ?last=1 only the last one
    GET  /received              the same, for direct requests to this server
    GET  /healthz

With ``--limits anthropic`` (or openai, gemini, qwen) it refuses what that provider refuses.
"""

import argparse
import json
from collections import deque
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from demo.dialects import DIALECTS, Dialect, GenerateContent, Said
from demo.limits import PROVIDERS, Limits
from demo.vision import Seen, Unseen, see

REMEMBERED_REQUESTS = 50
MODELS = ("jan-v2-30b", "jan-v2-8b")


def demo_llm(limits: Limits = PROVIDERS["none"]) -> Starlette:
    """Return the ASGI application."""
    received: deque[Any] = deque(maxlen=REMEMBERED_REQUESTS)

    async def answer(request: Request, dialect: Dialect, model: str, stream: bool) -> Response:
        raw = await request.body()
        received.append(
            {
                "path": request.url.path,
                "headers": [[name, value] for name, value in request.headers.items()],
                "body": raw.decode("utf-8", "backslashreplace"),
            }
        )
        try:
            if limits.max_body_bytes is not None and len(raw) > limits.max_body_bytes:
                raise Unseen(f"The request of {len(raw)} bytes is too large.", 413)
            body = _object(raw)
            seen = await see(list(dialect.media(body)), limits)
        except Unseen as problem:
            code = "image_not_readable" if problem.status == 400 else "request_too_large"
            refusal = dialect.refusal(problem.status, code, str(problem))
            return JSONResponse(refusal, status_code=problem.status)
        except ValueError as problem:
            return JSONResponse(dialect.refusal(400, "invalid_json", str(problem)), status_code=400)
        tokens = 1 + sum(each.tokens for each in seen) + _letters(body) // 4
        said = Said(model or str(body.get("model", "demo")), _text(seen), tokens, body)
        if stream or body.get("stream"):
            return StreamingResponse(dialect.events(said), media_type="text/event-stream")
        return JSONResponse(dialect.whole(said))

    async def converse(request: Request) -> Response:
        return await answer(request, DIALECTS[request.url.path](), "", stream=False)

    async def generate(request: Request) -> Response:
        model, _, method = request.path_params["call"].partition(":")
        if method not in ("generateContent", "streamGenerateContent"):
            refusal = GenerateContent().refusal(404, "not_found", f"There is no method {method}.")
            return JSONResponse(refusal, status_code=404)
        return await answer(request, GenerateContent(), model, method.startswith("stream"))

    async def list_received(request: Request) -> Response:
        wanted = int(request.query_params.get("last", REMEMBERED_REQUESTS))
        return JSONResponse(list(received)[-wanted:])

    async def models(request: Request) -> Response:
        listed = [_model(name, request) for name in MODELS]
        ends = {"first_id": MODELS[0], "last_id": MODELS[-1], "has_more": False}
        return JSONResponse({"object": "list", "data": listed, **ends})

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        if name in MODELS:
            return JSONResponse(_model(name, request))
        message = f"The model {name!r} does not exist."
        refusal = DIALECTS["/v1/chat/completions"]().refusal(404, "model_not_found", message)
        return JSONResponse(refusal, status_code=404)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            *(Route(path, converse, methods=["POST"]) for path in DIALECTS),
            Route("/v1beta/models/{call}", generate, methods=["POST"]),
            Route("/v1/models/{call}", generate, methods=["POST"]),
            Route("/v1/models", models),
            Route("/v1/models/{name}", model),
            Route("/v1/received", list_received),
            Route("/received", list_received),
            Route("/healthz", health),
        ],
        exception_handlers={HTTPException: _nothing_here},
    )


def _nothing_here(request: Request, problem: Exception) -> Response:
    """The answer to an unknown path or method."""
    assert isinstance(problem, HTTPException)
    message = f"{request.method} {request.url.path} is nothing that this model answers."
    refusal = DIALECTS["/v1/chat/completions"]().refusal(problem.status_code, "not_found", message)
    return JSONResponse(refusal, status_code=problem.status_code, headers=problem.headers)


def _object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object in a request's body. Raises ValueError, worded for the caller."""
    try:
        body = json.loads(raw)
    except ValueError:
        raise ValueError("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise ValueError("The body must be a JSON object.")
    return body


def _text(seen: list[Seen]) -> str:
    """Return what this model says: one line for each medium."""
    if not seen:
        return "I see no image."
    lines = [f"Image {number}: {each.words}." for number, each in enumerate(seen, 1)]
    return "\n".join([f"I see {len(lines)} image{'s' if len(lines) > 1 else ''}.", *lines])


def _letters(value: Any) -> int:
    """Return how many characters of a request are text for the model, not media."""
    if isinstance(value, str):
        return 0 if len(value) > 10_000 or "://" in value[:40] else len(value)
    if isinstance(value, dict):
        value = list(value.values())
    return sum(map(_letters, value)) if isinstance(value, list) else 0


def _model(name: str, request: Request) -> dict[str, Any]:
    if "anthropic-version" in request.headers:
        made = {"display_name": f"Demo {name}", "created_at": "2025-12-23T00:00:00Z"}
        return {"type": "model", "id": name, **made}
    return {"id": name, "object": "model", "created": 1_766_448_000, "owned_by": "jan"}


def main() -> None:
    """Serve the demo model until it is told to stop."""
    arguments = argparse.ArgumentParser(description="A demo LLM that names the images it gets.")
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--port", type=int, default=8287)
    arguments.add_argument("--limits", choices=list(PROVIDERS), default="none")
    chosen = arguments.parse_args()
    app = demo_llm(PROVIDERS[chosen.limits])
    # No websockets, even if a library for them is installed: a POST with Upgrade stays a POST.
    uvicorn.run(app, host=chosen.host, port=chosen.port, log_level="warning", ws="none")


if __name__ == "__main__":
    main()
