"""LiteLLM, as a library: one function for the APIs of OpenAI and Anthropic.

For Anthropic's it checks that an image is a URL or a data URL. There an id is written as the
placeholder ``data:image/png;base64,jan_…``, of which it makes a source with the id as its data.

It takes seconds to import, so only the worker of a test run that uses it does.
"""

import os
from typing import Any

import pytest

from tests.e2e.clients.conftest import UNKNOWN, Gateway, base64, data_url, saw

# Read when the package is imported: its table of prices is otherwise fetched from the internet.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

OPENAI, ANTHROPIC = "openai/jan-v2-30b", "anthropic/jan-v2-30b"
MODELS = [OPENAI, ANTHROPIC]


def complete(gateway: Gateway, model: str, *urls: str, route: str = "", **more: Any) -> Any:
    """Asks a model about images: ``route`` is a path before that of the API."""
    import litellm

    images = [{"type": "image_url", "image_url": {"url": each}} for each in urls]
    content = [{"type": "text", "text": "What is this?"}, *images]
    return litellm.completion(
        model=model,
        messages=[{"role": "user", "content": content}],
        api_base=f"{gateway.url}{route}" + ("/v1" if model == OPENAI else ""),
        api_key=gateway.token,
        num_retries=0,
        **more,
    )


def named(model: str, media_id: str) -> str:
    """An id as LiteLLM takes it."""
    return media_id if model == OPENAI else f"data:image/png;base64,{media_id}"


@pytest.mark.parametrize("model", MODELS)
def test_ids_in_their_order(gateway: Gateway, model: str) -> None:
    names = ["one.png", "two.jpg"]
    answer = complete(gateway, model, *(named(model, gateway.upload(name)) for name in names))
    assert answer.choices[0].message.content == saw(*names)
    assert answer.usage.total_tokens > 0


@pytest.mark.parametrize("model", MODELS)
def test_inline_bytes(gateway: Gateway, model: str) -> None:
    answer = complete(gateway, model, data_url("inline.png"))
    assert answer.choices[0].message.content == saw("inline.png")


@pytest.mark.parametrize("model", MODELS)
def test_inline_bytes_that_are_stored(gateway: Gateway, model: str) -> None:
    answer = complete(gateway, model, data_url("stored.png"), route="/store")
    assert answer.choices[0].message.content == saw("stored.png")
    assert base64("stored.png") not in str(gateway.received()["body"])


@pytest.mark.parametrize("model", MODELS)
def test_a_stream(gateway: Gateway, model: str) -> None:
    chunks = list(complete(gateway, model, named(model, gateway.upload("stream.png")), stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == saw("stream.png")
    assert len(chunks) > 5


@pytest.mark.parametrize("model", MODELS)
def test_an_unknown_id_is_an_error_that_names_it(gateway: Gateway, model: str) -> None:
    import litellm

    with pytest.raises(litellm.BadRequestError, match=UNKNOWN):
        complete(gateway, model, named(model, UNKNOWN))
