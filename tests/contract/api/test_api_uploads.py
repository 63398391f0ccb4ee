"""POST /v1/media with every kind of body."""

import base64
import gzip
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contract.api.client import Api, assert_error, data_url_body
from tests.contract.api.conftest import MAX_BYTES, Website
from tests.support.pictures import large_picture, picture
from tests.support.sidecar import RunningSidecar


def remote(url: Any) -> dict[str, Any]:
    return {"source": {"type": "remote_url", "url": url}, "user_id": "user_123"}


def test_an_upload_answers_in_the_fields_of_the_specification(api: Api) -> None:
    data = picture("JPEG")
    answer = api.upload(data)
    assert answer.keys() == {"id", "mime", "bytes", "deduped", "presigned_url", "expires_at"}
    assert (answer["mime"], answer["bytes"], answer["deduped"]) == ("image/jpeg", len(data), False)
    assert len(answer["id"]) == 30
    assert answer["id"].startswith("jan_")
    assert len(answer["expires_at"]) == len("2025-12-23T10:35:00Z")
    assert httpx.get(answer["presigned_url"]).content == data


def test_a_remote_url_is_fetched(api: Api, website: Website) -> None:
    data = picture()
    answer = api.post("/v1/media", remote(website.put("/a.png", data))).json()
    assert api.get(f"/v1/media/{answer['id']}/content").content == data


def test_a_form_is_taken(api: Api) -> None:
    data = picture()
    response = api.http.post(
        "/v1/media",
        files={"file": ("../../etc/passwd", data, "text/html")},
        data={"user_id": "u"},
    )
    assert response.status_code == 200
    assert (response.json()["mime"], response.json()["bytes"]) == ("image/png", len(data))


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "application/octet-stream"])
def test_the_file_may_be_the_body_and_its_type_is_what_the_bytes_say(api: Api, kind: str) -> None:
    response = api.http.post("/v1/media", content=picture(), headers={"Content-Type": kind})
    assert (response.status_code, response.json()["mime"]) == (200, "image/png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_all_default_formats_are_taken(api: Api, kind: str) -> None:
    assert api.upload(picture(kind))["mime"] == f"image/{kind.lower()}"


def test_the_same_content_is_one_id_across_users_and_ways(api: Api, website: Website) -> None:
    data = picture()
    first = api.upload(data, "ann")
    second = api.upload(data, "bob")
    third = api.post("/v1/media", remote(website.put("/same.png", data)), "eve").json()
    assert first["id"] == second["id"] == third["id"]
    assert [each["deduped"] for each in (first, second, third)] == [False, True, True]


# --- bad input


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_field", "source"),
        ({"source": "x"}, "invalid_field", "source"),
        ({"source": {}}, "missing_field", "source.type"),
        ({"source": {"type": "ftp"}}, "invalid_source_type", "source.type"),
        ({"source": {"type": "remote_url"}}, "missing_field", "source.url"),
        (remote("not-a-valid-url"), "invalid_url", "source.url"),
        (remote("ftp://example.com/a.png"), "invalid_url", "source.url"),
        (remote(7), "invalid_field", "source.url"),
        ({"source": {"type": "data_url"}}, "missing_field", "source.data_url"),
        ({"source": {"type": "data_url", "data_url": 7}}, "invalid_field", "source.data_url"),
        (
            {"source": {"type": "data_url", "data_url": "data:image/png;base64,@@@@"}},
            "invalid_base64",
            "source.data_url",
        ),
        (
            {"source": {"type": "data_url", "data_url": "hello"}},
            "invalid_base64",
            "source.data_url",
        ),
        (data_url_body(b""), "empty_file", "source.data_url"),
        (data_url_body(b"plain text, no image"), "invalid_media", "source.data_url"),
        (data_url_body(picture()[:-60]), "invalid_media", "source.data_url"),
        (data_url_body(picture()) | {"user_id": 7}, "invalid_field", "user_id"),
    ],
)
def test_bad_input_is_400_and_names_its_place(
    api: Api, body: dict[str, Any], code: str, param: str
) -> None:
    error = assert_error(api.post("/v1/media", body), 400, code, param)
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"a": NaN}', b"[" * 9999])
def test_what_is_no_json_object_is_400(api: Api, body: bytes) -> None:
    response = api.http.post(
        "/v1/media", content=body, headers={"Content-Type": "application/json"}
    )
    assert_error(response, 400, "invalid_json")


@pytest.mark.parametrize("url", ["http://example.com/\ud83d.png", "http://\udc00.example/"])
def test_a_url_with_half_a_surrogate_pair_is_400(api: Api, url: str) -> None:
    response = api.http.post(
        "/v1/media",
        content=json.dumps(remote(url)),  # which httpx would not write
        headers={"Content-Type": "application/json"},
    )
    assert_error(response, 400, "invalid_url", "source.url")


@pytest.mark.parametrize("coding", ["gzip", "zstd", "br", "gzip, deflate", "odd"])
@pytest.mark.parametrize(
    "kind", ["application/json", "image/png", "multipart/form-data; boundary=b"]
)
def test_a_compressed_body_is_415_and_says_what_is_taken(api: Api, coding: str, kind: str) -> None:
    response = api.http.post(
        "/v1/media",
        content=gzip.compress(picture()),
        headers={"Content-Type": kind, "Content-Encoding": coding},
    )
    error = assert_error(response, 415, "unsupported_content_encoding")
    assert "without Content-Encoding" in error["message"]
    assert response.headers["accept-encoding"] == "identity"


def test_a_form_may_hold_fields_that_mean_nothing_and_empty_inputs(api: Api) -> None:
    data = picture()
    parts: list[Any] = [
        ("caption", (None, "grüße".encode("latin-1"))),
        ("tags", (None, b"a")),
        ("tags", (None, b"b")),
        ("thumb", ("", b"")),
        ("file", ("家族.png", data)),
    ]
    answer = api.http.post("/v1/media", files=parts).json()
    assert answer["bytes"] == len(data)


def test_too_many_pixels_are_400(api: Api) -> None:
    assert_error(
        api.post("/v1/media", data_url_body(picture(size=(1001, 1000)))),
        400,
        "too_many_pixels",
        "source.data_url",
    )


def test_a_form_without_a_file_is_400(api: Api) -> None:
    response = api.http.post("/v1/media", files={"user_id": (None, "u")})
    assert_error(response, 400, "missing_field", "file")


def test_a_form_that_is_none_is_400(api: Api) -> None:
    for kind in ("multipart/form-data", "multipart/form-data; boundary=b"):
        response = api.http.post("/v1/media", content=b"x", headers={"Content-Type": kind})
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (400, "invalid_form")


def test_a_form_with_an_empty_file_is_400(api: Api) -> None:
    response = api.http.post("/v1/media", files={"file": ("a.png", b"", "image/png")})
    assert_error(response, 400, "empty_file", "file")


def test_a_body_of_another_kind_is_415(api: Api) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        response = api.http.post("/v1/media", content=b"x=1", headers={"Content-Type": kind})
        assert_error(response, 415, "unsupported_media_type")


def test_media_of_a_type_that_is_not_allowed_is_415(api: Api) -> None:
    pdf = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
    response = api.http.post(
        "/v1/media", content=pdf, headers={"Content-Type": "application/octet-stream"}
    )
    assert_error(response, 415, "unsupported_media_type")


# --- remote URLs that do not work


def test_a_fetch_that_fails_is_502(api: Api, website: Website) -> None:
    response = api.post("/v1/media", remote(website.url + "/missing.png"))
    error = assert_error(response, 502, "remote_fetch_failed", "source.url")
    assert error["type"] == "api_error"


def test_a_fetch_that_takes_too_long_is_504(api: Api, website: Website) -> None:
    response = api.post("/v1/media", remote(website.url + "/slow"))
    assert_error(response, 504, "remote_fetch_timeout", "source.url")


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/a.png", "http://[::1]/a.png", "http://169.254.169.254/latest/meta-data/"],
)
def test_an_address_that_is_not_public_is_refused(api: Api, url: str) -> None:
    assert_error(api.post("/v1/media", remote(url)), 400, "url_not_allowed", "source.url")


def test_a_remote_file_that_is_too_large_is_413(api: Api, website: Website) -> None:
    url = website.put("/large.bmp", large_picture(MAX_BYTES * 2))
    assert_error(api.post("/v1/media", remote(url)), 413, "max_size_exceeded", "source.url")


# --- too large


def test_a_file_of_just_the_limit_is_taken_and_one_byte_more_is_not(api: Api) -> None:
    largest = picture("BMP") + b""
    largest += bytes(MAX_BYTES - len(largest))
    for data, status in ((largest, {200, 400}), (largest + b"\0", {413})):
        response = api.http.post("/v1/media", content=data, headers={"Content-Type": "image/bmp"})
        assert response.status_code in status, response.text


def test_an_announced_size_over_the_limit_is_refused_before_the_body_comes(
    sidecar: RunningSidecar,
) -> None:
    answer = exchange(
        sidecar,
        b"POST /v1/media HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        b"Content-Length: 99999999\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"max_size_exceeded"' in answer


def endless_json() -> Iterator[bytes]:
    yield b'{"source": {"type": "data_url", "data_url": "data:image/png;base64,'
    for _ in range(64):
        yield base64.b64encode(bytes(3 * 16 * 1024))
    yield b'"}}'


def endless_form() -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    for _ in range(64):
        yield bytes(48 * 1024)
    yield b"\r\n--b--\r\n"


def endless_bytes() -> Iterator[bytes]:
    for _ in range(64):
        yield bytes(48 * 1024)


@pytest.mark.parametrize(
    ("kind", "body", "param"),
    [
        ("application/json", endless_json, "source.data_url"),
        ("multipart/form-data; boundary=b", endless_form, "file"),
        ("image/png", endless_bytes, None),
    ],
)
def test_a_body_of_unknown_size_is_refused_once_it_is_over_the_limit(
    api: Api, kind: str, body: Any, param: str | None
) -> None:
    response = api.http.post("/v1/media", content=body(), headers={"Content-Type": kind})
    error = assert_error(response, 413, "max_size_exceeded", param)
    assert error["type"] == "size_error"


def test_a_refused_body_is_refused_before_it_has_ended(sidecar: RunningSidecar) -> None:
    head = (
        b"POST /v1/media HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"%x\r\n%s\r\n" % (64 * 1024, bytes(64 * 1024))
    answer = exchange(sidecar, head + chunk * (MAX_BYTES // (64 * 1024) + 5))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_content_length_that_lies_does_not_get_more_in(sidecar: RunningSidecar) -> None:
    """Both lengths at once is how requests are smuggled: refused, in the one shape."""
    answer = exchange(
        sidecar,
        b"POST /v1/media HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        b"Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'{"error": {' in answer or b'{"error":{' in answer


def test_a_body_that_breaks_off_is_not_stored(api: Api, sidecar: RunningSidecar) -> None:
    data = picture("BMP")
    head = (
        b"POST /v1/media HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/bmp\r\n"
        b"Content-Length: %d\r\n\r\n" % (len(data) + 1)
    )
    assert b" 200 " not in exchange(sidecar, head + data, then_hang_up=True)
    assert api.upload(data)["deduped"] is False


def exchange(sidecar: RunningSidecar, request: bytes, *, then_hang_up: bool = False) -> bytes:
    """Send raw bytes; what is answered, up to the end of the first JSON object."""
    host, _, port = sidecar.public_url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        if then_hang_up:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while b"}" not in answer:
            more = connection.recv(65536)
            if not more:
                break
            answer += more
    return answer
