"""Media through the gateway: uploads of every kind, downloads, deletion, and what is refused."""

import base64
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from demo.images import drawn

UNKNOWN = "jan_01hqr8v9k2x3f4g5h6j7k8m9n0"
MEDIA = "/media/v1/media"


def remote(url: str) -> dict[str, object]:
    """An upload request for a remote URL."""
    return {"source": {"type": "remote_url", "url": url}, "user_id": "tester"}


def data(url: str) -> dict[str, object]:
    """An upload request for a data URL."""
    return {"source": {"type": "data_url", "data_url": url}, "user_id": "tester"}


def data_url(content: bytes, mime: str = "image/png") -> str:
    """A base64 data URL."""
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def fresh(ending: str = "png") -> str:
    """The name of an image that was never uploaded."""
    return f"fresh-{time.time_ns()}.{ending}"


def assert_error(answer: httpx.Response, status: int, kind: str, code: str | None = None) -> None:
    """The status, in the one error shape."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"type", "code", "message", "param"}
    assert error["type"] == kind
    assert code in (None, error["code"])
    assert answer.headers["Content-Type"].startswith("application/json")


def test_the_same_content_is_the_same_id_however_it_comes(
    guest: httpx.Client, another_guest: httpx.Client, images: str
) -> None:
    name = fresh()
    content = drawn(name)
    first = guest.post(MEDIA, json=remote(f"{images}/{name}")).json()
    again = [
        guest.post(MEDIA, json=data(data_url(content))),
        guest.post(MEDIA, files={"file": ("a.png", content)}, data={"user_id": "u"}),
        another_guest.post(MEDIA, content=content, headers={"Content-Type": "image/png"}),
    ]
    assert first["deduped"] is False
    assert [(a.status_code, a.json()["id"], a.json()["deduped"]) for a in again] == [
        (200, first["id"], True)
    ] * 3


def test_the_type_is_what_the_bytes_say(guest: httpx.Client) -> None:
    content = drawn(fresh("webp"))
    answer = guest.post(MEDIA, json=data(data_url(content, "image/png")))
    assert answer.json()["mime"] == "image/webp"


def test_a_download_knows_ranges_and_needs_no_token(
    guest: httpx.Client, upload: Callable[[str], str]
) -> None:
    content = drawn("range.png")
    url = guest.get(f"{MEDIA}/{upload('range.png')}/presign").json()["url"]
    whole = httpx.get(url, trust_env=False)
    part = httpx.get(url, headers={"Range": "bytes=10-19"}, trust_env=False)
    assert whole.content == content
    assert (part.status_code, part.content) == (206, content[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(content)}"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"


def test_content_through_the_gateway_knows_ranges_etags_and_head(
    guest: httpx.Client, upload: Callable[[str], str]
) -> None:
    content = drawn("content.png")
    path = f"{MEDIA}/{upload('content.png')}/content"
    whole = guest.get(path)
    assert whole.content == content
    assert guest.get(path, headers={"Range": "bytes=-5"}).content == content[-5:]
    assert guest.get(path, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    head = guest.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(content))


def test_a_changed_signature_is_refused(guest: httpx.Client, upload: Callable[[str], str]) -> None:
    url = guest.get(f"{MEDIA}/{upload('signed.png')}/presign").json()["url"]
    changed = url[:-1] + ("0" if url[-1] != "0" else "1")
    assert httpx.get(changed, trust_env=False).status_code == 403


def test_a_direct_upload_is_pending_until_the_file_is_there(guest: httpx.Client) -> None:
    content = drawn(fresh("jpg"))
    prepared = guest.post(f"{MEDIA}/prepare-upload", json={"content_type": "image/jpeg"}).json()
    path = f"{MEDIA}/{prepared['jan_id']}"
    assert_error(guest.get(path), 409, "invalid_request_error", "upload_pending")
    form = prepared["presigned_post"]
    sent = httpx.post(
        form["url"], data=form["fields"], files={"file": ("p.jpg", content)}, trust_env=False
    )
    assert sent.status_code == 204
    assert guest.get(path).json()["bytes"] == len(content)


def test_a_direct_upload_by_put(guest: httpx.Client) -> None:
    content = drawn(fresh("jpg"))
    prepared = guest.post(f"{MEDIA}/prepare-upload", json={"mime_type": "image/jpeg"}).json()
    sent = httpx.put(
        prepared["upload_url"],
        content=content,
        headers={"Content-Type": "image/jpeg"},
        trust_env=False,
    )
    assert sent.status_code in (200, 204), sent.text
    assert guest.get(f"{MEDIA}/{prepared['id']}/content").content == content


def test_only_an_owner_may_delete(guest: httpx.Client, another_guest: httpx.Client) -> None:
    answer = guest.post(MEDIA, files={"file": drawn(fresh())})
    path = f"{MEDIA}/{answer.json()['id']}"
    assert_error(another_guest.delete(path), 403, "permission_error", "not_owner")
    assert guest.delete(path).status_code in (200, 204)
    assert_error(guest.get(path), 404, "not_found_error", "media_not_found")


def test_a_listing_has_ones_own_media_only(
    guest: httpx.Client, another_guest: httpx.Client
) -> None:
    media_id = guest.post(MEDIA, files={"file": drawn(fresh())}).json()["id"]
    assert media_id in guest.get(MEDIA).text
    assert media_id not in another_guest.get(MEDIA).text


BAD_UPLOADS = {
    "a malformed URL": (remote("not-a-valid-url"), "invalid_url", "source.url"),
    "a URL that is no web address": (remote("ftp://x/a.png"), None, "source.url"),
    "an unknown source type": (
        {"source": {"type": "carrier_pigeon"}},
        "invalid_source_type",
        "source.type",
    ),
    "no source": ({"user_id": "u"}, "missing_field", "source"),
    "no url": ({"source": {"type": "remote_url"}}, "missing_field", "source.url"),
    "bad base64": (data("data:image/png;base64,@@@"), "invalid_base64", "source.data_url"),
    "an empty file": (data("data:image/png;base64,"), "empty_file", "source.data_url"),
    "bytes that are no image": (data(data_url(b"hello")), "invalid_media", "source.data_url"),
}


@pytest.mark.parametrize("kind", BAD_UPLOADS)
def test_a_bad_upload_is_a_400_that_names_the_field(guest: httpx.Client, kind: str) -> None:
    request, code, param = BAD_UPLOADS[kind]
    answer = guest.post(MEDIA, json=request)
    assert_error(answer, 400, "invalid_request_error", code)
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    "address", ["http://10.0.0.1/a.png", "http://169.254.169.254/latest", "http://[::1]/a.png"]
)
def test_a_remote_url_into_the_network_is_refused(guest: httpx.Client, address: str) -> None:
    answer = guest.post(MEDIA, json=remote(address))
    assert_error(answer, 400, "invalid_request_error", "url_not_allowed")


def test_a_remote_server_that_does_not_answer_is_a_502(guest: httpx.Client) -> None:
    answer = guest.post(MEDIA, json=remote("http://127.0.0.1:9/a.png"))
    assert_error(answer, 502, "api_error", "remote_fetch_failed")


def test_a_file_over_the_limit_is_a_413(guest: httpx.Client) -> None:
    too_large = bytes(20 * 1024 * 1024 + 1)
    for answer in (
        guest.post(MEDIA, content=too_large, headers={"Content-Type": "image/png"}),
        guest.post(MEDIA, content=in_pieces(too_large), headers={"Content-Type": "image/png"}),
        guest.post(MEDIA, files={"file": too_large}),
    ):
        assert_error(answer, 413, "size_error", "max_size_exceeded")


def in_pieces(content: bytes) -> Iterator[bytes]:
    """The content without a length known beforehand."""
    for start in range(0, len(content), 1 << 20):
        yield content[start : start + (1 << 20)]


def test_a_body_over_the_gateways_limit_is_a_413(guest: httpx.Client) -> None:
    answer = guest.post("/v1/chat/completions", content=bytes(34 * 1024 * 1024))
    assert_error(answer, 413, "size_error", "max_size_exceeded")


def test_a_body_of_another_type_is_a_415(guest: httpx.Client) -> None:
    answer = guest.post(MEDIA, content="<a/>", headers={"Content-Type": "text/xml"})
    assert_error(answer, 415, "invalid_request_error", "unsupported_media_type")


@pytest.mark.parametrize("media_id", [UNKNOWN, "jan_invalid_id", "something"])
@pytest.mark.parametrize("below", ["", "/presign", "/content"])
def test_an_unknown_id_is_a_404(guest: httpx.Client, media_id: str, below: str) -> None:
    answer = guest.get(f"{MEDIA}/{media_id}{below}")
    assert_error(answer, 404, "not_found_error", "media_not_found")


def test_a_wrong_method_is_a_405(guest: httpx.Client) -> None:
    answer = guest.patch(MEDIA, json={})
    assert_error(answer, 405, "invalid_request_error", "method_not_allowed")


@pytest.mark.parametrize(
    "path", ["/consoles", "/nothing", "/v1", "/v1alpha/x", "/media", "/internal/resolve"]
)
def test_an_unknown_route_is_a_404(stranger: httpx.Client, path: str) -> None:
    assert_error(stranger.get(path), 404, "not_found_error", "route_not_found")


@pytest.mark.parametrize("path", ["/metrics", "/media/metrics", "/media/internal/resolve"])
def test_internal_endpoints_are_on_no_route(stranger: httpx.Client, path: str) -> None:
    assert stranger.post(path).status_code == 404
    assert stranger.get(path).status_code == 404


def test_health_is_open_and_says_little(stranger: httpx.Client) -> None:
    answer = stranger.get("/media/healthz")
    assert answer.status_code == 200
    assert len(answer.content) < 100


@pytest.mark.parametrize("path", [MEDIA, "/v1/chat/completions", "/llm/auth/guest-login"])
def test_a_browsers_preflight_needs_no_token(stranger: httpx.Client, path: str) -> None:
    answer = stranger.options(
        path,
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization,content-type"
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_a_refusal_can_be_read_by_a_browser(stranger: httpx.Client) -> None:
    answer = stranger.get(MEDIA, headers={"Origin": "https://app.example"})
    assert answer.status_code == 401
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
