"""A body that holds an id reaches the model resolved, however it is spelled, or not at all."""

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import zstandard


def chat(media_id: str) -> bytes:
    part = {"type": "image_url", "image_url": {"url": media_id}}
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": [part]}]}).encode()


def saw_one_image(answer: httpx.Response) -> bool:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"]).startswith("I see 1 image.")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_a_compressed_body(guest: httpx.Client, upload: Callable[[str], str], coding: str) -> None:
    compress: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "zstd": zstandard.compress,
    }
    body = compress[coding](chat(upload("a.png")))
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    assert saw_one_image(guest.post("/v1/chat/completions", content=body, headers=headers))


def test_a_coding_that_is_not_taken_is_a_415_with_those_that_are(guest: httpx.Client) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "br"}
    answer = guest.post("/v1/chat/completions", content=b"\x0b\x02\x80", headers=headers)
    assert answer.status_code == 415
    assert answer.headers["Accept-Encoding"] == "gzip, deflate, zstd"
    assert answer.json()["error"]["code"] == "unsupported_content_encoding"


@pytest.mark.parametrize(
    "kind",
    [
        *("text/plain", "application/x-www-form-urlencoded", None),
        *("multipart/form-data; boundary=x", "Multipart/Form-Data", ";;"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_any_media_type_and_encoding(
    guest: httpx.Client, upload: Callable[[str], str], kind: str | None, encoding: str
) -> None:
    body = chat(upload("a.png")).decode().encode(encoding)
    headers = {} if kind is None else {"Content-Type": kind}
    assert saw_one_image(guest.post("/v1/chat/completions", content=body, headers=headers))


def test_json_that_python_writes_and_others_do_not(
    guest: httpx.Client, upload: Callable[[str], str]
) -> None:
    body = chat(upload("a.png")).replace(b'{"model"', b'{"x": NaN, "y": "\\ud83d", "model"')
    answer = guest.post(
        "/v1/chat/completions", content=body, headers={"Content-Type": "application/json"}
    )
    assert saw_one_image(answer)


def test_a_body_with_an_id_that_is_no_json_never_reaches_the_model(
    guest: httpx.Client, upload: Callable[[str], str], received: Callable[[], list[Any]]
) -> None:
    body = chat(upload("a.png"))
    before = received()
    answer = guest.post("/v1/chat/completions", content=body[:-1] + b",}")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_json"
    assert received() == before


def test_a_download_url_of_ours_is_resolved_again_and_another_is_left(
    guest: httpx.Client, upload: Callable[[str], str], received: Callable[[], list[Any]]
) -> None:
    media_id = upload("a.png")
    url = guest.get(f"/media/v1/media/{media_id}/presign").json()["url"]
    stale = url.replace("signature=", "signature=0").replace("expires=", "expires=1")
    answer = guest.post("/v1/chat/completions", json=json.loads(chat(stale)))
    assert saw_one_image(answer)
    foreign = f"https://elsewhere.example/{media_id}.png"
    guest.post("/v1/chat/completions", json=json.loads(chat(foreign)))
    assert foreign in received()[-1]["body"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("responses", {"input": [{"content": [{"type": "input_image", "file_id": "ID"}]}]}),
        ("responses", {"input": [{"content": [{"type": "input_file", "file_id": "ID"}]}]}),
        (
            "chat/completions",
            {"messages": [{"content": [{"type": "file", "file": {"file_id": "ID"}}]}]},
        ),
        (
            "messages",
            {
                "messages": [
                    {"content": [{"type": "image", "source": {"type": "file", "file_id": "ID"}}]}
                ]
            },
        ),
    ],
)
def test_a_file_id_becomes_what_the_model_can_fetch(
    guest: httpx.Client, upload: Callable[[str], str], path: str, body: dict[str, Any]
) -> None:
    media_id = upload("a.png")
    sent = json.dumps({"model": "m", **body}).replace("ID", media_id)
    answer = guest.post(f"/v1/{path}", content=sent, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert "sha256" in answer.text
