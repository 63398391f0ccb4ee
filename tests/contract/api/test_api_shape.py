"""What holds on every path: errors in one shape, health, the API's description."""

import httpx
import pytest
import yaml

from tests.contract.api.client import Api, assert_error
from tests.contract.api.contract import hold
from tests.support.pictures import picture
from tests.support.sidecar import RunningSidecar
from tests.support.waiting import wait_until
from tests.unit.content.drawings import encoded


@pytest.mark.parametrize("path", ["/v1", "/v1/media/", "/v2/media", "/v1/media/x/y", "/files"])
def test_an_unknown_path_is_404(api: Api, path: str) -> None:
    response = api.get(path)
    assert response.status_code in (404, 405)
    assert response.json()["error"].keys() == {"type", "code", "message", "param"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/media"),
        ("DELETE", "/v1/media"),
        ("POST", "/v1/media/jan_01hqr8v9k2x3f4g5h6j7k8m9n0"),
        ("GET", "/auth/guest-login"),
        ("POST", "/healthz"),
    ],
)
def test_a_method_that_a_path_has_not_is_405(api: Api, method: str, path: str) -> None:
    response = api.http.request(method, path)
    assert_error(response, 405, "method_not_allowed")
    assert response.headers["allow"]


def test_health_and_readiness(api: Api) -> None:
    for listener in (api.http, api.internal):
        assert listener.get("/healthz").status_code == 200
        assert listener.get("/readyz").status_code == 200


def test_the_api_describes_itself(api: Api) -> None:
    described = api.http.get("/openapi.json").json()
    assert described["paths"].keys() >= {
        "/v1/media",
        "/v1/media/prepare-upload",
        "/v1/media/resolve",
        "/v1/media/{id}",
        "/v1/media/{id}/presign",
        "/v1/media/{id}/content",
        "/v1/media/{id}/complete",
        "/auth/guest-login",
    }
    upload = described["paths"]["/v1/media"]["post"]["requestBody"]["content"]
    assert upload.keys() >= {"application/json", "multipart/form-data"}
    assert "422" not in str(described["paths"])


def test_both_listeners_serve_their_contract_in_both_forms(api: Api) -> None:
    for listener in (api.http, api.internal):
        text = listener.get("/openapi.yaml")
        assert text.headers["content-type"].startswith("application/yaml")
        assert yaml.safe_load(text.text) == listener.get("/openapi.json").json()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (409, {"error": {"type": "a", "code": "b", "message": "c", "param": None}}),
        (200, {"bytes": 1, "files": 2, "quota_bytes": 0}),
        (200, {"bytes": 1, "files": 2, "quota_bytes": 0, "quota_files": 0, "more": 1}),
        (401, {"error": {"code": "unauthenticated"}}),
    ],
)
def test_an_answer_that_the_contract_has_not_fails_whatever_test_gets_it(
    status: int, body: dict[str, object]
) -> None:
    asked = httpx.Request("GET", "http://sidecar/v1/media/usage")
    with pytest.raises(AssertionError, match="/v1/media/usage"):
        hold(httpx.Response(status, json=body, request=asked))


def test_the_public_listener_has_nothing_of_the_internal_one(api: Api) -> None:
    for path in ("/internal/resolve", "/internal/keys/verify", "/metrics"):
        assert_error(api.http.post(path), 404, "not_found")


def test_the_log_has_a_line_for_each_request_and_no_secret(
    api: Api, sidecar: RunningSidecar
) -> None:
    url = api.upload(picture())["presigned_url"]
    api.http.get(url, headers={"Authorization": "Bearer secret-token"})
    path, _, query = url.removeprefix(sidecar.public_url).partition("?")
    wait_until(lambda: f"public GET {path} 200" in sidecar.log)
    log = sidecar.log
    assert query not in log
    assert "secret-token" not in log
    assert query.rpartition("=")[2] not in log


def test_what_a_parser_says_of_a_request_is_not_in_the_log(
    api: Api, sidecar: RunningSidecar
) -> None:
    samples = b"\x15\x01\x03\0\1\0\0\0"  # the tag of a TIFF file, up to its value
    assert encoded("tiff").count(samples + b"\3\0") == 1
    absurd = encoded("tiff").replace(samples + b"\3\0", samples + b"\3\x10")
    for kind, body in (("multipart/form-data; boundary=b", b"--b\nx"), ("image/tiff", absurd)):
        response = api.http.post("/v1/media", content=body, headers={"Content-Type": kind})
        assert response.status_code == 400
    api.http.get("/v1/media/last")
    wait_until(lambda: "GET /v1/media/last" in sidecar.log)
    assert "python_multipart" not in sidecar.log
    assert "PIL" not in sidecar.log
