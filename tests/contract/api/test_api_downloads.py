"""GET /v1/media/{id}/content: ranges, conditions, HEAD and the headers that keep it harmless."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.api.client import Api, assert_error
from tests.support.pictures import large_picture, picture
from tests.support.sidecar import running_sidecar


@pytest.fixture
def data() -> bytes:
    return picture(size=(64, 64))


@pytest.fixture
def path(api: Api, data: bytes) -> str:
    return f"/v1/media/{api.upload(data)['id']}/content"


def test_the_content_is_what_was_uploaded_and_is_served_safely(
    api: Api, path: str, data: bytes
) -> None:
    response = api.get(path)
    assert (response.status_code, response.content) == (200, data)
    headers = response.headers
    assert headers["content-type"] == "image/png"
    assert headers["content-length"] == str(len(data))
    assert headers["etag"] == f'"{hashlib.sha256(data).hexdigest()}"'
    assert headers["accept-ranges"] == "bytes"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers["cache-control"].startswith("private")
    assert headers["content-disposition"].endswith('.png"')


def test_large_content_streams_whole(api: Api) -> None:
    data = large_picture(299_000)
    path = f"/v1/media/{api.upload(data)['id']}/content"
    assert api.get(path).content == data


def test_head_has_the_headers_and_no_body(api: Api, path: str, data: bytes) -> None:
    response = api.http.head(path)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == str(len(data))


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=5-9", slice(5, 10)),
        ("bytes=5-", slice(5, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=5-99999999", slice(5, None)),
        ("bytes=-99999999", slice(0, None)),
    ],
)
def test_a_range_is_206(api: Api, path: str, data: bytes, asked: str, part: slice) -> None:
    response = api.get(path, range=asked)
    assert (response.status_code, response.content) == (206, data[part])
    start, stop, _ = part.indices(len(data))
    assert response.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(data)}"


@pytest.mark.parametrize("asked", ["bytes=9-5", "bytes=a-b", "items=0-1", "bytes=0-1,4-5", "x"])
def test_a_range_that_makes_no_sense_is_ignored(
    api: Api, path: str, data: bytes, asked: str
) -> None:
    response = api.get(path, range=asked)
    assert (response.status_code, response.content) == (200, data)


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=-0"])
def test_a_range_beyond_the_end_is_416(api: Api, path: str, data: bytes, asked: str) -> None:
    response = api.get(path, range=asked)
    assert_error(response, 416, "range_not_satisfiable", "Range")
    assert response.headers["content-range"] == f"bytes */{len(data)}"


@pytest.mark.parametrize("condition", ["{etag}", "W/{etag}", '"x", {etag}', "*"])
def test_known_content_is_304(api: Api, path: str, condition: str) -> None:
    etag = api.get(path).headers["etag"]
    response = api.get(path, if_none_match=condition.format(etag=etag))
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == etag


def test_a_range_of_another_version_is_the_whole(api: Api, path: str, data: bytes) -> None:
    assert api.get(path, range="bytes=0-1", if_range='"other"').content == data
    etag = api.get(path).headers["etag"]
    assert api.get(path, range="bytes=0-1", if_range=etag).content == data[:2]


@pytest.fixture
def redirecting(tmp_path: Path) -> Iterator[Api]:
    with running_sidecar(tmp_path / "data", PROXY_DOWNLOAD="false") as sidecar, Api(sidecar) as api:
        yield api


def test_without_proxying_the_content_is_a_redirect(redirecting: Api, data: bytes) -> None:
    media_id = redirecting.upload(data)["id"]
    response = redirecting.get(f"/v1/media/{media_id}/content")
    assert response.status_code == 302
    assert redirecting.http.get(response.headers["location"]).content == data
