"""Anthropic's Python client: Messages."""

from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic, BadRequestError, NotFoundError

from demo.images import drawn
from tests.e2e.clients.conftest import UNKNOWN, Gateway, base64, saw

MODEL = "jan-v2-30b"


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Iterator[Anthropic]:
    """A client of the plain route."""
    with Anthropic(base_url=gateway.url, api_key=gateway.token, max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def storing(gateway: Gateway) -> Iterator[Anthropic]:
    """A client of the route that stores inline media."""
    with Anthropic(base_url=gateway.storing, api_key=gateway.token, max_retries=0) as made:
        yield made


def asked(*sources: dict[str, str], kind: str = "image") -> dict[str, Any]:
    """A request with an image, or another kind of block, of each source."""
    blocks = [{"type": kind, "source": source} for source in sources]
    content = [{"type": "text", "text": "What is this?"}, *blocks]
    return {
        "model": MODEL,
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": content}],
    }


def by_url(media_id: str) -> dict[str, str]:
    return {"type": "url", "url": media_id}


def by_file(media_id: str) -> dict[str, str]:
    return {"type": "file", "file_id": media_id}


def inline(name: str) -> dict[str, str]:
    return {"type": "base64", "media_type": "image/png", "data": base64(name)}


def test_messages_with_ids_in_their_order(client: Anthropic, gateway: Gateway) -> None:
    names = ["one.png", "two.jpg", "three.png"]
    sources = [by_url(gateway.upload(names[0])), *(by_file(gateway.upload(n)) for n in names[1:])]
    answer = client.messages.create(**asked(*sources))
    assert answer.content[0].text == saw(*names)
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens > 0
    assert answer._request_id


def test_messages_with_inline_bytes(client: Anthropic, gateway: Gateway) -> None:
    request = asked(inline("inline.png"))
    assert client.messages.create(**request).content[0].text == saw("inline.png")
    assert gateway.received()["body"]["messages"] == request["messages"]


def test_messages_with_inline_bytes_that_are_stored(storing: Anthropic, gateway: Gateway) -> None:
    answer = storing.messages.with_raw_response.create(
        **asked(inline("stored.png"), inline("kept.png"))
    )
    assert answer.parse().content[0].text == saw("stored.png", "kept.png")
    ids = answer.headers["X-Jan-Media"].split(", ")
    assert ids == [gateway.upload("stored.png"), gateway.upload("kept.png")]
    blocks = gateway.received()["body"]["messages"][0]["content"][1:]
    assert [block["source"]["type"] for block in blocks] == ["url", "url"]


def test_messages_as_a_stream(client: Anthropic, gateway: Gateway) -> None:
    with client.messages.stream(**asked(by_file(gateway.upload("stream.png")))) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == saw("stream.png")
    assert final.stop_reason == "end_turn"
    assert (final.usage.input_tokens > 0, final.usage.output_tokens > 1) == (True, True)


def test_the_tokens_of_messages_are_those_that_they_cost(
    client: Anthropic, gateway: Gateway
) -> None:
    request = asked(by_file(gateway.upload("count.png")))
    cost = client.messages.create(**request).usage.input_tokens
    del request["max_tokens"]
    assert client.messages.count_tokens(**request).input_tokens == cost


def test_an_unknown_id_is_an_error_that_names_its_place(client: Anthropic) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.messages.create(**asked(by_file(UNKNOWN)))
    assert caught.value.type == "invalid_request_error"
    assert caught.value.body["type"] == "error"
    assert caught.value.body["error"]["code"] == "media_not_found"
    assert caught.value.body["error"]["param"] == "messages[0].content[1].source.file_id"


def test_the_models(client: Anthropic) -> None:
    assert MODEL in [each.id for each in client.models.list()]
    assert client.models.retrieve(MODEL).display_name


def test_a_file_is_uploaded_used_listed_read_and_deleted(client: Anthropic) -> None:
    content = drawn("uploaded.png")
    made = client.files.upload(file=("uploaded.png", content, "image/png"))
    assert (made.filename, made.size_bytes) == ("uploaded.png", len(content))
    answer = client.messages.create(**asked(by_file(made.id)))
    assert answer.content[0].text == saw("uploaded.png")
    assert client.files.retrieve_metadata(made.id).id == made.id
    assert made.id in [each.id for each in client.files.list()]
    assert client.files.download(made.id).read() == content
    assert client.files.delete(made.id).type == "file_deleted"
    with pytest.raises(NotFoundError):
        client.files.retrieve_metadata(made.id)
