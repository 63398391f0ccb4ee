"""The Files API through the gateway, as the published SDKs of OpenAI and Anthropic call it."""

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest
from anthropic.types import ImageBlockParam, TextBlock

from demo.images import drawn
from tests.e2e.conftest import guest_token

PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
UNKNOWN = "jan_01hqr8v9k2x3f4g5h6j7k8m9n0"


@pytest.fixture(scope="module")
def gpt(gateway_url: str) -> Iterator[openai.OpenAI]:
    """OpenAI's client, of a guest who has no file yet."""
    with openai_client(gateway_url) as client:
        yield client


def openai_client(gateway_url: str) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{gateway_url}/v1",
        api_key=guest_token(gateway_url),
        max_retries=0,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    )


@pytest.fixture(scope="module")
def claude(gateway_url: str) -> Iterator[anthropic.Anthropic]:
    """Anthropic's client, of another guest."""
    with anthropic.Anthropic(
        base_url=gateway_url,
        auth_token=guest_token(gateway_url),
        max_retries=0,
        http_client=anthropic.DefaultHttpxClient(trust_env=False),
    ) as client:
        yield client


def seen(content: bytes) -> str:
    """What the model says about an image."""
    return f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}"


# --- OpenAI


def test_openais_client_creates_finds_reads_and_deletes_a_file(gpt: openai.OpenAI) -> None:
    photo = drawn("openai.jpg")
    file = gpt.files.create(file=("Urlaub 1.jpg", photo), purpose="vision")
    assert (file.object, file.filename, file.bytes) == ("file", "Urlaub 1.jpg", len(photo))
    assert (file.purpose, file.status) == ("vision", "processed")
    assert gpt.files.retrieve(file.id) == file
    assert gpt.files.content(file.id).read() == photo
    assert file.id in [each.id for each in gpt.files.list(purpose="vision")]
    assert gpt.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError) as gone:
        gpt.files.retrieve(file.id)
    assert gone.value.code == "media_not_found"


def test_openais_client_reads_a_list_of_many_pages(gateway_url: str) -> None:
    with openai_client(gateway_url) as client:
        made = [
            client.files.create(file=("a.png", drawn(f"page {n}.png")), purpose="user_data").id
            for n in range(5)
        ]
        assert [each.id for each in client.files.list(limit=2)] == made[::-1]
        assert [each.id for each in client.files.list(limit=2, order="asc")] == made
        for each in client.files.list(limit=2):
            client.files.delete(each.id)
        assert client.files.list().data == []


def test_openais_client_says_how_long_it_needs_a_file(gpt: openai.OpenAI) -> None:
    file = gpt.files.create(
        file=("short.png", drawn("short.png")),
        purpose="vision",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert file.expires_at == file.created_at + 3600


def test_openais_client_is_told_which_purposes_there_are(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        gpt.files.create(file=("train.jsonl", b"{}"), purpose="fine-tune")
    assert (refused.value.param, refused.value.code) == ("purpose", "invalid_field")
    assert "vision or user_data" in refused.value.message


def test_a_file_id_of_openai_reaches_the_model_in_a_response_and_in_a_chat(
    gpt: openai.OpenAI, received: Callable[[], list[Any]]
) -> None:
    photo = drawn("by file id.jpg")
    image = gpt.files.create(file=("image.jpg", photo), purpose="vision")
    said = gpt.responses.create(
        model="jan-v2-30b",
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "file_id": image.id, "detail": "auto"},
                ],
            }
        ],
    )
    assert seen(photo) in said.output_text

    document = gpt.files.create(file=("paper.pdf", PDF), purpose="user_data")
    gpt.responses.create(
        model="jan-v2-30b",
        input=[{"role": "user", "content": [{"type": "input_file", "file_id": document.id}]}],
    )
    sent = [each for each in received() if each["path"] == "/v1/responses"][-1]
    (part,) = json.loads(sent["body"])["input"][0]["content"]
    assert "file_id" not in part
    assert httpx.get(part["file_url"], trust_env=False).content == PDF


# --- Anthropic


def test_anthropics_client_uploads_finds_reads_and_deletes_a_file(
    claude: anthropic.Anthropic,
) -> None:
    photo = drawn("anthropic.png")
    file = claude.beta.files.upload(file=("Ferien.png", photo, "image/png"))
    assert (file.type, file.filename, file.mime_type) == ("file", "Ferien.png", "image/png")
    assert (file.size_bytes, file.downloadable) == (len(photo), True)
    assert claude.beta.files.retrieve_metadata(file.id) == file
    assert claude.beta.files.download(file.id).read() == photo
    assert claude.beta.files.list(ids=[file.id, UNKNOWN]).data == [file]
    deleted = claude.beta.files.delete(file.id)
    assert (deleted.id, deleted.type) == (file.id, "file_deleted")
    with pytest.raises(anthropic.NotFoundError) as gone:
        claude.beta.files.retrieve_metadata(file.id)
    assert gone.value.type == "not_found_error"
    assert gone.value.api_message


def test_anthropics_client_reads_a_list_of_many_pages(claude: anthropic.Anthropic) -> None:
    made = [
        claude.beta.files.upload(file=("a.png", drawn(f"leaf {n}.png")), expires_in_seconds=7200).id
        for n in range(5)
    ]
    assert [each.id for each in claude.beta.files.list(limit=2)][:5] == made[::-1]
    first = claude.beta.files.list(limit=1).data[0]
    assert first.expires_at is not None
    assert (first.expires_at - first.created_at).total_seconds() == 7200


def test_a_file_id_of_anthropic_reaches_the_model_in_a_message(
    claude: anthropic.Anthropic,
) -> None:
    photo = drawn("in a message.png")
    file = claude.beta.files.upload(file=("photo.png", photo))
    image: ImageBlockParam = {"type": "image", "source": {"type": "file", "file_id": file.id}}
    said = claude.messages.create(
        model="jan-v2-30b", max_tokens=99, messages=[{"role": "user", "content": [image]}]
    )
    block = said.content[0]
    assert isinstance(block, TextBlock)
    assert seen(photo) in block.text


# --- strangers


def test_anothers_file_is_not_there_in_either_api(
    gpt: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    theirs = gpt.files.create(file=("theirs.png", drawn("theirs.png")), purpose="vision").id
    for ask in (
        claude.beta.files.retrieve_metadata,
        claude.beta.files.download,
        claude.beta.files.delete,
    ):
        with pytest.raises(anthropic.NotFoundError):
            ask(theirs)
    assert theirs not in [each.id for each in claude.beta.files.list()]
    assert gpt.files.retrieve(theirs).id == theirs


def test_nobody_gets_past_the_gateway_without_a_token(stranger: httpx.Client) -> None:
    for method, path in (("GET", ""), ("POST", ""), ("GET", f"/{UNKNOWN}"), ("DELETE", "/x")):
        for prefix in ("/v1/files", "/llm/v1/files"):
            answer = stranger.request(
                method,
                prefix + path,
                headers={"X-Jan-User-Id": "ann", "X-Jan-Issuer": "https://issuer.test"},
            )
            assert answer.status_code == 401, answer.text
            assert answer.json()["error"]["code"] == "unauthenticated"


def test_a_name_is_data_in_headers_and_bodies(guest: httpx.Client) -> None:
    name = '<script>alert(1)</script>"\r\nSet-Cookie: a=b'
    photo = drawn("name.png")
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; '
        b'filename="<script>alert(1)</script>%22%0D%0ASet-Cookie: a=b"\r\n\r\n'
        + photo
        + b"\r\n--b--\r\n"
    )
    answer = guest.post(
        "/v1/files", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["filename"] == name.replace('"', "%22").replace("\r\n", "%0D%0A")
    content = guest.get(f"/v1/files/{answer.json()['id']}/content")
    assert content.content == photo
    assert content.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in content.headers
    assert "<" not in content.headers["content-disposition"]


def test_a_file_above_the_limit_is_refused_as_an_upload_is(guest: httpx.Client) -> None:
    answer = guest.post("/v1/files", files={"file": ("a.png", bytes(20 * 1024 * 1024 + 1))})
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "max_size_exceeded"
