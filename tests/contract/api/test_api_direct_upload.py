"""prepare-upload, with /files instead of S3."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx
import pytest

from tests.contract.api.client import Api, assert_error
from tests.contract.api.conftest import MAX_BYTES
from tests.support.pictures import picture
from tests.support.sidecar import running_sidecar


def send_form(prepared: dict[str, Any], data: bytes, **changed: str | None) -> httpx.Response:
    """POST the form as a browser does; ``changed`` fields differ, None ones are left out."""
    post = prepared["presigned_post"]
    fields = post["fields"] | {name.replace("_", "-"): value for name, value in changed.items()}
    kept = {name: value for name, value in fields.items() if value is not None}
    return httpx.post(post["url"], data=kept, files={"file": ("a.png", data, "image/png")})


def as_form(prepared: dict[str, Any]) -> dict[str, Any]:
    return {"data": prepared["presigned_post"]["fields"], "files": {"file": b"THE FILE"}}


def test_preparing_answers_the_fields_of_the_specification_and_of_the_older_form(api: Api) -> None:
    answer = api.prepare("image/jpeg")
    assert answer["jan_id"] == answer["id"]
    assert answer["presigned_url"] == answer["upload_url"]
    assert answer["mime_type"] == "image/jpeg"
    assert answer["expires_in"] == 900
    fields = answer["presigned_post"]["fields"]
    assert fields["key"] == f"images/{answer['jan_id']}"
    assert fields.keys() >= {
        "key",
        "policy",
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-signature",
    }


def test_the_older_field_name_is_accepted(api: Api) -> None:
    response = api.post("/v1/media/prepare-upload", {"mime_type": "image/png"})
    assert response.json()["mime_type"] == "image/png"


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 400, "missing_field", "content_type"),
        ({"content_type": 7}, 400, "invalid_field", "content_type"),
        ({"content_type": "text/html"}, 415, "unsupported_media_type", "content_type"),
        ({"mime_type": "nonsense"}, 415, "unsupported_media_type", "mime_type"),
    ],
)
def test_a_bad_preparation_is_refused(
    api: Api, body: object, status: int, code: str, param: str
) -> None:
    assert_error(api.post("/v1/media/prepare-upload", body), status, code, param)


def test_a_form_upload_makes_the_promised_id_work(api: Api) -> None:
    data = picture()
    prepared = api.prepare()
    assert_error(api.get(f"/v1/media/{prepared['jan_id']}"), 409, "upload_pending")
    assert send_form(prepared, data).status_code == 204
    info = api.get(f"/v1/media/{prepared['jan_id']}").json()
    assert (info["id"], info["bytes"], info["mime"]) == (prepared["jan_id"], len(data), "image/png")
    assert httpx.get(info["presigned_url"]).content == data


def test_a_form_without_content_type_works_as_in_the_curl_example(api: Api) -> None:
    prepared = api.prepare()
    assert send_form(prepared, picture(), Content_Type=None).status_code == 204


def test_a_put_makes_the_promised_id_work(api: Api) -> None:
    data = picture()
    prepared = api.prepare()
    response = httpx.put(
        prepared["upload_url"], content=data, headers={"Content-Type": "image/png"}
    )
    assert response.status_code == 200
    resolved = api.post("/v1/media/resolve", {"ids": [prepared["id"]]}).json()["media"]
    assert httpx.get(resolved[0]["presigned_url"]).content == data


def test_complete_settles_an_upload_at_once(api: Api) -> None:
    prepared = api.prepare()
    complete = f"/v1/media/{prepared['id']}/complete"
    assert_error(api.post(complete, {}), 409, "upload_pending")
    send_form(prepared, picture())
    settled = api.post(complete, {}).json()
    assert (settled["id"], settled["deduped"]) == (prepared["id"], False)
    assert api.post(complete, {}).status_code == 200


def test_complete_says_whether_the_content_was_known(api: Api) -> None:
    data = picture()
    known = api.upload(data, "ann")
    prepared = api.prepare()
    send_form(prepared, data)
    settled = api.post(f"/v1/media/{prepared['id']}/complete", {}).json()
    assert settled["id"] != known["id"]
    assert settled["deduped"] is True


def test_replaying_a_valid_form_cannot_change_what_was_completed(api: Api) -> None:
    data = picture()
    prepared = api.prepare()
    send_form(prepared, data)
    api.get(f"/v1/media/{prepared['id']}")
    assert send_form(prepared, picture()).status_code == 204
    assert api.get(f"/v1/media/{prepared['id']}/content").content == data


def test_a_direct_upload_of_known_content_keeps_its_id(api: Api) -> None:
    data = picture()
    first = api.upload(data)["id"]
    prepared = api.prepare()
    send_form(prepared, data)
    assert api.get(f"/v1/media/{prepared['id']}/content").content == data
    assert prepared["id"] != first


def test_wrong_content_is_refused_at_its_first_use(api: Api) -> None:
    prepared = api.prepare()
    assert send_form(prepared, b"<html>no image</html>").status_code == 204
    for _ in range(2):
        error = assert_error(api.get(f"/v1/media/{prepared['id']}"), 400, "invalid_media")
        assert "direct upload" in error["message"]
    status, answer = api.ask("/internal/resolve", {"names": [prepared["id"]]})
    assert status == 200
    assert answer["errors"][prepared["id"]]["code"] == "upload_rejected"


# --- what the form refuses


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"key": "images/jan_other"}, 403, "access_refused"),
        ({"key": "content/ab/cd"}, 403, "access_refused"),
        ({"x_amz_signature": "0" * 64}, 403, "access_refused"),
        ({"policy": "e30="}, 403, "access_refused"),
        ({"acl": "public-read"}, 403, "access_refused"),
        ({"policy": None}, 400, "missing_field"),
        ({"key": None}, 400, "missing_field"),
    ],
)
def test_a_form_that_was_tampered_with_is_refused(
    api: Api, changed: dict[str, str | None], status: int, code: str
) -> None:
    prepared = api.prepare()
    response = send_form(prepared, picture(), **changed)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert_error(api.get(f"/v1/media/{prepared['id']}"), 409, "upload_pending")


@pytest.mark.parametrize("said", ["text/html", "image/jpeg", None])
def test_the_type_is_what_the_bytes_say_whatever_the_form_says(api: Api, said: str | None) -> None:
    prepared = api.prepare()
    assert send_form(prepared, picture(), Content_Type=said).status_code == 204
    assert api.get(f"/v1/media/{prepared['id']}").json()["mime"] == "image/png"


def test_a_file_over_the_promised_size_is_refused(api: Api) -> None:
    prepared = api.prepare()
    assert_error(send_form(prepared, bytes(MAX_BYTES + 1)), 413, "max_size_exceeded", "file")
    assert_error(send_form(prepared, bytes(MAX_BYTES * 3)), 413, "max_size_exceeded", "file")


def test_an_empty_file_is_refused(api: Api) -> None:
    assert_error(send_form(api.prepare(), b""), 400, "empty_file", "file")


def test_a_put_of_another_type_is_refused(api: Api) -> None:
    url = api.prepare()["upload_url"]
    response = httpx.put(url, content=picture(), headers={"Content-Type": "text/html"})
    assert_error(response, 403, "access_refused", "Content-Type")


# --- signed URLs


def changed_url(url: str, **changed: str) -> str:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query)) | changed
    return urlunsplit(parts._replace(query=urlencode(query)))


@pytest.mark.parametrize(
    "changed",
    [{"expires": "9999999999"}, {"mime": "text/html"}, {"filename": "x"}, {"signature": "0" * 64}],
)
def test_a_forged_url_is_refused(api: Api, changed: dict[str, str]) -> None:
    url = api.upload(picture())["presigned_url"]
    assert_error(httpx.get(changed_url(url, **changed)), 403, "access_refused")


def test_a_url_for_reading_does_not_write(api: Api) -> None:
    url = api.upload(picture())["presigned_url"]
    response = httpx.put(url, content=b"x", headers={"Content-Type": "image/png"})
    assert_error(response, 403, "access_refused")


def test_a_url_without_a_signature_is_refused(api: Api) -> None:
    url = api.upload(picture())["presigned_url"]
    assert_error(httpx.get(url.partition("?")[0]), 403, "access_refused")
    assert_error(httpx.get(url + "&expires=9999999999"), 403, "access_refused")


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Api]:
    with (
        running_sidecar(tmp_path / "data", S3_PRESIGN_TTL="1s", UPLOAD_TTL="1s") as sidecar,
        Api(sidecar) as api,
    ):
        yield api


def test_urls_forms_and_unused_ids_expire(hasty: Api) -> None:
    url = hasty.upload(picture())["presigned_url"]
    prepared, never_used = hasty.prepare(), hasty.prepare()
    while httpx.get(url).status_code == 200:
        pass
    assert_error(httpx.get(url), 403, "access_expired")
    while send_form(prepared, picture()).status_code == 204:
        pass
    assert_error(send_form(prepared, picture()), 403, "access_expired")
    while hasty.get(f"/v1/media/{never_used['id']}").status_code == 409:
        pass
    assert_error(hasty.get(f"/v1/media/{never_used['id']}"), 404, "media_not_found")


@pytest.mark.parametrize("way", ["put", "form"])
def test_an_upload_that_ends_long_after_its_time_leaves_nothing(tmp_path: Path, way: str) -> None:
    settings = {"UPLOAD_TTL": "1s", "SWEEP_GRACE": "1s", "SWEEP_INTERVAL": "0"}
    with running_sidecar(tmp_path / "data", **settings) as sidecar, Api(sidecar) as api:
        prepared = api.prepare()
        over = time.time() + 1 + 0.5 + 0.1

        def dripping() -> Iterator[bytes]:
            yield picture()
            while time.time() < over:
                time.sleep(0.05)
            yield b"0"

        if way == "put":
            headers = {"Content-Type": "image/png"}
            response = httpx.put(prepared["upload_url"], content=dripping(), headers=headers)
        else:
            form = httpx.Request("POST", prepared["presigned_post"]["url"], **as_form(prepared))
            start, end = form.read().split(b"THE FILE")
            body = itertools.chain([start], dripping(), [end])
            response = httpx.post(
                form.url, content=body, headers={"Content-Type": form.headers["Content-Type"]}
            )
        assert_error(response, 403, "access_expired")
        assert not list(sidecar.data_dir.glob(f"objects/**/*{prepared['id']}*"))


def test_signed_files_have_ranges_and_safe_headers(api: Api) -> None:
    data = picture()
    url = api.upload(data)["presigned_url"]
    part = httpx.get(url, headers={"Range": "bytes=1-4"})
    assert (part.status_code, part.content) == (206, data[1:5])
    assert part.headers["x-content-type-options"] == "nosniff"
    assert part.headers["content-security-policy"] == "default-src 'none'; sandbox"
    head = httpx.head(url)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(data)))


def test_browsers_of_any_origin_may_use_files(api: Api) -> None:
    prepared = api.prepare()
    url = api.upload(picture())["presigned_url"]
    preflight = httpx.options(
        prepared["upload_url"],
        headers={"Origin": "https://app.test", "Access-Control-Request-Method": "PUT"},
    )
    assert preflight.status_code == 204
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    responses = [preflight, httpx.get(url), send_form(prepared, picture()), httpx.get(url + "x")]
    for response in responses:
        assert response.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in response.headers
