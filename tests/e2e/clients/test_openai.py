"""OpenAI's Python client: Chat Completions and Responses."""

from collections.abc import Iterator

import pytest
from openai import AuthenticationError, BadRequestError, NotFoundError, OpenAI

from demo.images import drawn
from tests.e2e.clients.conftest import UNKNOWN, Gateway, data_url, saw

MODEL = "jan-v2-30b"


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Iterator[OpenAI]:
    """A client of the plain route."""
    with OpenAI(base_url=gateway.openai, api_key=gateway.token, max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def storing(gateway: Gateway) -> Iterator[OpenAI]:
    """A client of the route that stores inline media."""
    base_url = f"{gateway.storing}/v1"
    with OpenAI(base_url=base_url, api_key=gateway.token, max_retries=0) as made:
        yield made


def message(*urls: str) -> list[dict[str, object]]:
    """A conversation of Chat Completions with an image part for each URL."""
    images = [{"type": "image_url", "image_url": {"url": each}} for each in urls]
    return [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, *images]}]


def responses_input(*parts: dict[str, str]) -> list[dict[str, object]]:
    """The same of Responses, with these parts."""
    text = {"type": "input_text", "text": "What is this?"}
    return [{"role": "user", "content": [text, *parts]}]


def test_chat_with_ids_in_their_order(client: OpenAI, gateway: Gateway) -> None:
    names = ["one.png", "two.jpg", "three.png"]
    ids = [gateway.upload(name) for name in names]
    answer = client.chat.completions.create(model=MODEL, messages=message(*ids))
    assert answer.choices[0].message.content == saw(*names)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id


def test_chat_by_file_id(client: OpenAI, gateway: Gateway) -> None:
    file = {"type": "file", "file": {"file_id": gateway.upload("file.png")}}
    messages = [{"role": "user", "content": [file]}]
    answer = client.chat.completions.create(model=MODEL, messages=messages)
    assert answer.choices[0].message.content == saw("file.png")


def test_chat_with_inline_bytes(client: OpenAI, gateway: Gateway) -> None:
    messages = message(data_url("inline.png"))
    answer = client.chat.completions.create(model=MODEL, messages=messages)
    assert answer.choices[0].message.content == saw("inline.png")
    assert gateway.received()["body"]["messages"] == messages


def test_chat_with_inline_bytes_that_are_stored(storing: OpenAI, gateway: Gateway) -> None:
    answer = storing.chat.completions.with_raw_response.create(
        model=MODEL, messages=message(data_url("stored.png"), data_url("stored.jpg"))
    )
    assert answer.parse().choices[0].message.content == saw("stored.png", "stored.jpg")
    ids = answer.headers["X-Jan-Media"].split(", ")
    assert ids == [gateway.upload("stored.png"), gateway.upload("stored.jpg")]
    parts = gateway.received()["body"]["messages"][0]["content"][1:]
    assert all(part["image_url"]["url"].startswith("http") for part in parts)


def test_chat_as_a_stream_with_its_usage(client: OpenAI, gateway: Gateway) -> None:
    with client.chat.completions.create(
        model=MODEL,
        messages=message(gateway.upload("stream.png")),
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == saw("stream.png")
    assert [chunk.usage is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].usage.completion_tokens > 0


def test_chat_as_events_that_the_client_puts_together(client: OpenAI, gateway: Gateway) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=message(gateway.upload("events.png"))
    ) as stream:
        assert stream.get_final_completion().choices[0].message.content == saw("events.png")


def test_an_unknown_id_is_an_error_that_names_its_place(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=message(UNKNOWN))
    assert caught.value.code == "media_not_found"
    assert caught.value.type == "invalid_request_error"
    assert caught.value.param == "messages[0].content[1].image_url.url"
    assert caught.value.request_id


def test_a_wrong_token_is_an_authentication_error(gateway: Gateway) -> None:
    client = OpenAI(base_url=gateway.openai, api_key="sk-of-another-provider", max_retries=0)
    with pytest.raises(AuthenticationError) as caught:
        client.models.list()
    assert caught.value.code == "invalid_api_key"


def test_the_models(client: OpenAI) -> None:
    names = [each.id for each in client.models.list()]
    assert MODEL in names
    assert client.models.retrieve(MODEL).id == MODEL


@pytest.mark.parametrize("member", ["image_url", "file_id"])
def test_a_response_to_an_id(client: OpenAI, gateway: Gateway, member: str) -> None:
    part = {"type": "input_image", "detail": "auto", member: gateway.upload("response.png")}
    answer = client.responses.create(model=MODEL, input=responses_input(part))
    assert answer.output_text == saw("response.png")
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


def test_a_response_to_inline_bytes_that_are_stored(storing: OpenAI, gateway: Gateway) -> None:
    part = {"type": "input_image", "detail": "auto", "image_url": data_url("kept.png")}
    answer = storing.responses.create(model=MODEL, input=responses_input(part))
    assert answer.output_text == saw("kept.png")
    arrived = gateway.received()["body"]["input"][0]["content"][1]["image_url"]
    assert arrived.startswith("http")


def test_a_response_as_a_stream_of_all_its_events(client: OpenAI, gateway: Gateway) -> None:
    part = {"type": "input_image", "detail": "auto", "file_id": gateway.upload("all.png")}
    with client.responses.stream(model=MODEL, input=responses_input(part)) as stream:
        events = list(stream)
        assert stream.get_final_response().output_text == saw("all.png")
    kinds = [event.type for event in events]
    assert list(dict.fromkeys(kinds)) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_a_response_to_an_unknown_file_id_is_an_error_that_names_its_place(client: OpenAI) -> None:
    part = {"type": "input_image", "detail": "auto", "file_id": UNKNOWN}
    with pytest.raises(BadRequestError) as caught:
        client.responses.create(model=MODEL, input=responses_input(part))
    assert caught.value.param == "input[0].content[1].file_id"


def test_a_file_is_created_used_listed_read_and_deleted(client: OpenAI) -> None:
    content = drawn("created.png")
    made = client.files.create(file=("created.png", content, "image/png"), purpose="vision")
    assert (made.filename, made.bytes, made.purpose) == ("created.png", len(content), "vision")
    part = {"type": "input_image", "detail": "auto", "file_id": made.id}
    answer = client.responses.create(model=MODEL, input=responses_input(part))
    assert answer.output_text == saw("created.png")
    assert client.files.retrieve(made.id).id == made.id
    assert made.id in [each.id for each in client.files.list(purpose="vision")]
    assert client.files.content(made.id).read() == content
    assert client.files.delete(made.id).deleted
    with pytest.raises(NotFoundError):
        client.files.retrieve(made.id)


def test_a_file_for_another_purpose_is_refused_in_words_that_help(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune")
    assert caught.value.param == "purpose"
