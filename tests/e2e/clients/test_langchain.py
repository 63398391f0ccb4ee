"""LangChain's chat models of OpenAI and of Anthropic.

They take seconds to import, so only the worker of a test run that uses them does.
"""

from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from tests.e2e.clients.conftest import UNKNOWN, Gateway, base64, saw

if TYPE_CHECKING:
    from langchain_anthropic import ChatAnthropic
    from langchain_core.messages import HumanMessage
    from langchain_openai import ChatOpenAI

MODEL = "jan-v2-30b"


def chat_openai(base_url: str, token: str, **more: Any) -> "ChatOpenAI":
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model=MODEL, base_url=base_url, api_key=token, max_retries=0, **more)


def chat_anthropic(base_url: str, token: str) -> "ChatAnthropic":
    from langchain_anthropic import ChatAnthropic

    return ChatAnthropic(model=MODEL, base_url=base_url, api_key=token, max_retries=0)


def message(*blocks: dict[str, Any]) -> "list[HumanMessage]":
    """A conversation of one message with these blocks."""
    from langchain_core.messages import HumanMessage

    return [HumanMessage([{"type": "text", "text": "What is this?"}, *blocks])]


def by_url(media_id: str) -> dict[str, Any]:
    """LangChain's own block of an image, which it writes as each API wants it."""
    return {"type": "image", "url": media_id}


def inline(name: str) -> dict[str, Any]:
    return {"type": "image", "base64": base64(name), "mime_type": "image/png"}


@pytest.mark.parametrize("api", ["openai", "openai-responses", "anthropic"])
class TestEachApi:
    """The same code, whatever is behind it."""

    @pytest.fixture
    def model(self, gateway: Gateway, api: str) -> Any:
        if api == "anthropic":
            return chat_anthropic(gateway.url, gateway.token)
        return chat_openai(
            gateway.openai, gateway.token, use_responses_api=api == "openai-responses"
        )

    @pytest.fixture
    def storing(self, gateway: Gateway, api: str) -> Any:
        if api == "anthropic":
            return chat_anthropic(gateway.storing, gateway.token)
        base_url = f"{gateway.storing}/v1"
        return chat_openai(base_url, gateway.token, use_responses_api=api == "openai-responses")

    def test_ids_in_their_order(self, model: Any, gateway: Gateway) -> None:
        names = ["one.png", "two.jpg"]
        answer = model.invoke(message(*(by_url(gateway.upload(name)) for name in names)))
        assert answer.text == saw(*names)
        assert answer.usage_metadata["total_tokens"] > 0

    def test_inline_bytes(self, model: Any) -> None:
        assert model.invoke(message(inline("inline.png"))).text == saw("inline.png")

    def test_inline_bytes_that_are_stored(self, storing: Any, gateway: Gateway) -> None:
        assert storing.invoke(message(inline("stored.png"))).text == saw("stored.png")
        assert base64("stored.png") not in str(gateway.received()["body"])

    def test_a_stream(self, model: Any, gateway: Gateway) -> None:
        chunks = list(model.stream(message(by_url(gateway.upload("stream.png")))))
        assert "".join(chunk.text for chunk in chunks) == saw("stream.png")
        assert len(chunks) > 5

    def test_an_unknown_id_is_an_error_that_names_its_place(self, model: Any, api: str) -> None:
        with pytest.raises((openai.BadRequestError, anthropic.BadRequestError)) as caught:
            model.invoke(message(by_url(UNKNOWN)))
        place = {
            "openai": "messages[0].content[1].image_url.url",
            "openai-responses": "input[0].content[1].image_url",
            "anthropic": "messages[0].content[1].source.url",
        }
        assert place[api] in str(caught.value)


def test_a_file_id(gateway: Gateway) -> None:
    block = {"type": "file", "file": {"file_id": gateway.upload("file.png")}}
    answer = chat_openai(gateway.openai, gateway.token).invoke(message(block))
    assert answer.text == saw("file.png")
