"""The APIs that the demo model speaks: how each names media, and the form of its answers.

Chat Completions   https://platform.openai.com/docs/api-reference/chat
Responses          https://platform.openai.com/docs/api-reference/responses
Messages           https://docs.anthropic.com/en/api/messages
generateContent    https://ai.google.dev/api/generate-content
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from demo.vision import Medium, Unseen

SECONDS_A_WORD = 0.01

Events = AsyncIterator[str]
"""Server-sent events, each with its blank line."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the model says, and its cost in tokens."""

    model: str
    text: str
    input_tokens: int
    options: dict[str, Any]  # the request

    @property
    def output_tokens(self) -> int:
        """About four characters a token."""
        return 1 + len(self.text) // 4

    @property
    def usage(self) -> tuple[int, int, int]:
        """Tokens in, out and together."""
        return self.input_tokens, self.output_tokens, self.input_tokens + self.output_tokens

    async def words(self) -> AsyncIterator[str]:
        """The text word by word, with pauses, so that a reader sees that it streams."""
        words = self.text.split(" ")
        for at, word in enumerate(words):
            yield word if at == len(words) - 1 else word + " "
            await asyncio.sleep(SECONDS_A_WORD)


class Dialect(Protocol):
    """One API."""

    def media(self, body: dict[str, Any]) -> Iterator[Medium]:
        """Yield each medium of a request, in reading order. Raises `Unseen` for an empty one."""

    def whole(self, said: Said) -> Any:
        """Return the answer in one piece."""

    def events(self, said: Said) -> Events:
        """Return the answer as a stream."""

    def refusal(self, status: int, code: str, message: str) -> Any:
        """Return an error's body."""


class ChatCompletions:
    """OpenAI's Chat Completions, with the variants of other servers."""

    def media(self, body: dict[str, Any]) -> Iterator[Medium]:
        return _openai_media(body)

    def whole(self, said: Said) -> Any:
        message = {"role": "assistant", "content": said.text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        head = _head("chatcmpl-", "chat.completion", said.model)
        return {**head, "choices": [choice], "usage": _chat_usage(said)}

    async def events(self, said: Said) -> Events:
        head = _head("chatcmpl-", "chat.completion.chunk", said.model)
        with_usage = bool((said.options.get("stream_options") or {}).get("include_usage"))
        if with_usage:
            head["usage"] = None

        def chunk(delta: dict[str, str], finish: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
            return _event({**head, "choices": [choice]})

        yield chunk({"role": "assistant", "content": ""})
        async for word in said.words():
            yield chunk({"content": word})
        yield chunk({}, "stop")
        if with_usage:
            yield _event({**head, "choices": [], "usage": _chat_usage(said)})
        yield "data: [DONE]\n\n"

    def refusal(self, status: int, code: str, message: str) -> Any:
        return _openai_error(code, message)


class Responses:
    """OpenAI's Responses."""

    def media(self, body: dict[str, Any]) -> Iterator[Medium]:
        return _openai_media(body)

    def whole(self, said: Said) -> Any:
        return self._response(said, "completed", [self._message(said, "completed")])

    async def events(self, said: Said) -> Events:
        message = self._message(said, "completed")
        place = {"item_id": message["id"], "output_index": 0, "content_index": 0}
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        begun = self._response(said, "in_progress", [])
        number = -1

        def event(kind: str, **more: Any) -> str:
            nonlocal number
            number += 1
            return _event({"type": kind, "sequence_number": number, **more}, kind)

        yield event("response.created", response=begun)
        yield event("response.in_progress", response=begun)
        item = {**message, "status": "in_progress", "content": []}
        yield event("response.output_item.added", output_index=0, item=item)
        yield event("response.content_part.added", **place, part=part)
        async for word in said.words():
            yield event("response.output_text.delta", **place, delta=word, logprobs=[])
        yield event("response.output_text.done", **place, text=said.text, logprobs=[])
        yield event("response.content_part.done", **place, part={**part, "text": said.text})
        yield event("response.output_item.done", output_index=0, item=message)
        done = {**begun, "status": "completed", "output": [message]}
        done |= {"output_text": said.text, "usage": self._usage(said)}
        yield event("response.completed", response=done)

    def refusal(self, status: int, code: str, message: str) -> Any:
        return _openai_error(code, message)

    def _message(self, said: Said, status: str) -> dict[str, Any]:
        part = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        whole = {"type": "message", "role": "assistant", "status": status, "content": [part]}
        return {"id": f"msg_{uuid.uuid4().hex}", **whole}

    def _response(self, said: Said, status: str, output: list[Any]) -> dict[str, Any]:
        return {
            "id": f"resp_{uuid.uuid4().hex}",
            "object": "response",
            "created_at": int(time.time()),
            "model": said.model,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "output": output,
            "output_text": said.text if output else "",  # SDKs derive it from the output
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "usage": self._usage(said) if output else None,
        }

    def _usage(self, said: Said) -> dict[str, Any]:
        read, written, together = said.usage
        return {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": together,
        }


class Messages:
    """Anthropic's Messages."""

    def media(self, body: dict[str, Any]) -> Iterator[Medium]:
        for part in _objects(body.get("messages")):
            kind = {"image": "Image", "document": "File"}.get(str(part.get("type")))
            source = part.get("source")
            if kind and isinstance(source, dict) and source.get("type") != "text":
                if source.get("type") == "base64":
                    yield Medium(kind, base64=_text(source, "data"))
                else:
                    yield Medium(kind, url=_text(source, "url", "file_id"))

    def whole(self, said: Said) -> Any:
        read, written, _ = said.usage
        return {
            "id": f"msg_{uuid.uuid4().hex}",
            "type": "message",
            "role": "assistant",
            "model": said.model,
            "content": [{"type": "text", "text": said.text}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": read, "output_tokens": written},
        }

    async def events(self, said: Said) -> Events:
        def event(kind: str, **more: Any) -> str:
            return _event({"type": kind, **more}, kind)

        usage = {"input_tokens": said.input_tokens, "output_tokens": 1}
        begun = {**self.whole(said), "content": [], "stop_reason": None, "usage": usage}
        yield event("message_start", message=begun)
        yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        yield event("ping")
        async for word in said.words():
            delta = {"type": "text_delta", "text": word}
            yield event("content_block_delta", index=0, delta=delta)
        yield event("content_block_stop", index=0)
        ended = {"stop_reason": "end_turn", "stop_sequence": None}
        usage = {"output_tokens": said.output_tokens}
        yield event("message_delta", delta=ended, usage=usage)
        yield event("message_stop")

    def refusal(self, status: int, code: str, message: str) -> Any:
        kind = "request_too_large" if status == 413 else "invalid_request_error"
        return {"type": "error", "error": {"type": kind, "message": message}}


class TokenCount(Messages):
    """Anthropic's count of the tokens that a request to Messages would cost."""

    def whole(self, said: Said) -> Any:
        return {"input_tokens": said.input_tokens}


class GenerateContent:
    """Gemini's generateContent and streamGenerateContent, in both spellings of members."""

    def media(self, body: dict[str, Any]) -> Iterator[Medium]:
        for part in _objects(body.get("contents")):
            for name in ("inlineData", "inline_data"):
                if name in part:
                    yield Medium(self._kind(part[name]), base64=_text(part[name], "data"))
            for name in ("fileData", "file_data"):
                if isinstance(part.get(name), dict):
                    where = _text(part[name], "fileUri", "file_uri")
                    yield Medium(self._kind(part[name]), url=where)

    def whole(self, said: Said) -> Any:
        return self._answer(said, said.text, "STOP")

    async def events(self, said: Said) -> Events:
        async for word in said.words():
            yield _event(self._answer(said, word, None))
        yield _event(self._answer(said, "", "STOP"))

    def refusal(self, status: int, code: str, message: str) -> Any:
        kind = "INVALID_ARGUMENT" if status < 500 else "INTERNAL"
        return {"error": {"code": status, "message": message, "status": kind}}

    def _kind(self, data: Any) -> str:
        mime = _text(data, "mimeType", "mime_type") if isinstance(data, dict) else ""
        return "File" if mime.startswith(("application/", "audio/", "text/")) else "Image"

    def _answer(self, said: Said, text: str, finish: str | None) -> Any:
        read, written, together = said.usage
        content = {"role": "model", "parts": [{"text": text}]}
        candidate: dict[str, Any] = {"index": 0, "content": content}
        if finish is not None:
            candidate["finishReason"] = finish
        usage = {
            "promptTokenCount": read,
            "candidatesTokenCount": written,
            "totalTokenCount": together,
        }
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": said.model}


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield each object at or below ``value``, the outer ones first."""
    if isinstance(value, list):
        for item in value:
            yield from _objects(item)
    elif isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _objects(item)


def _openai_media(body: dict[str, Any]) -> Iterator[Medium]:
    """Yield the media of both of OpenAI's APIs: many servers accept either's parts in both."""
    for part in _objects(body):
        match part.get("type"):
            case "image_url" | "input_image":
                reference = part.get("image_url")
                yield _image(reference.get("url") if isinstance(reference, dict) else reference)
            case "input_audio":
                yield Medium("Audio", base64=_text(part.get("input_audio"), "data"))
            case "file":
                yield Medium("File", url=_text(part.get("file"), "file_data"))
            case "input_file":
                yield Medium("File", url=_text(part, "file_url", "file_data"))


def _image(reference: Any) -> Medium:
    if not isinstance(reference, str) or not reference:
        raise Unseen("An image part needs a URL.")
    return Medium("Image", url=reference)


def _text(members: Any, *names: str) -> str:
    """Return the first of the members that is text. Raises `Unseen` if none is."""
    for name in names:
        if isinstance(members, dict) and isinstance(members.get(name), str):
            return str(members[name])
    raise Unseen(f"A part of media needs {' or '.join(names)}.")


def _head(prefix: str, kind: str, model: str) -> dict[str, Any]:
    made = int(time.time())
    return {"id": prefix + uuid.uuid4().hex, "object": kind, "created": made, "model": model}


def _chat_usage(said: Said) -> dict[str, int]:
    read, written, together = said.usage
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": together}


def _openai_error(code: str, message: str) -> Any:
    error = {"type": "invalid_request_error", "code": code, "message": message, "param": None}
    return {"error": error}


def _event(data: Any, name: str | None = None) -> str:
    line = f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
    return f"event: {name}\n{line}" if name else line


DIALECTS: dict[str, Callable[[], Dialect]] = {
    "/v1/chat/completions": ChatCompletions,
    "/v1/responses": Responses,
    "/v1/messages": Messages,
    "/v1/messages/count_tokens": TokenCount,
}
"""By path. Gemini is not among them: its paths contain the model's name, so it has other routes."""
