"""The internal listener: the requests of the Kong plugin."""

import hashlib
import json
import re
import time
from pathlib import Path

import msgpack
import pytest
from jan_media.renditions.fit import Fit

from tests.contract.api.client import Api, assert_error
from tests.contract.api.conftest import MAX_BYTES
from tests.support.catalogs import open_migrated
from tests.support.pictures import picture
from tests.support.scrape import Scrape
from tests.support.sidecar import RunningSidecar, run_jan_media, running_sidecar
from tests.support.waiting import wait_until

UNKNOWN = "jan_01hqr8v9k2x3f4g5h6j7k8m9n0"


def test_ids_resolve_to_urls_and_unknown_ones_to_errors(api: Api) -> None:
    data = picture()
    media_id = api.upload(data)["id"]
    status, answer = api.ask("/internal/resolve", {"names": [media_id, UNKNOWN]})
    assert status == 200
    found = answer["media"][media_id]
    assert found.keys() == {"id", "url", "mime", "bytes", "expires_at", "ttl"}
    assert (found["mime"], found["ttl"]) == ("image/png", 300)
    assert 290 < found["expires_at"] - time.time() <= 300
    assert api.http.get(found["url"]).content == data
    assert answer["errors"].keys() == {UNKNOWN}
    assert answer["errors"][UNKNOWN]["code"] == "media_not_found"


def test_resolving_completes_a_direct_upload(api: Api) -> None:
    prepared = api.prepare()
    _, answer = api.ask("/internal/resolve", {"names": [prepared["id"]]})
    assert answer["errors"][prepared["id"]]["code"] == "upload_pending"
    data = picture()
    api.http.put(prepared["upload_url"], content=data, headers={"Content-Type": "image/png"})
    _, answer = api.ask("/internal/resolve", {"names": [prepared["id"]]})
    assert api.http.get(answer["media"][prepared["id"]]["url"]).content == data


def test_names_are_ids_or_urls_of_ours_and_others_are_foreign(api: Api) -> None:
    media_id = api.upload(picture())["id"]
    base = str(api.http.base_url).rstrip("/")
    ours = [
        media_id,
        media_id.upper(),
        f"{base}/v1/media/{media_id}",
        f"{base}/media/v1/media/{media_id}/content",
        f"{base}/v1/media/{media_id}/presign?again=1#x",
        f"{base}/v1/files/{media_id}/content",
    ]
    foreign = [
        f"http://elsewhere.test/v1/media/{media_id}/content",
        f"{base}/v1/media/{media_id}/other",
        f"{base}/v1/media/jan_x/content",
        "https://[",
        f"https://{'a' * 9000}/",
        f"{base}/v1/media/{media_id}/content?{'a' * 9000}",
    ]
    unknown = [UNKNOWN, "jan_", f"{base}/v1/media/{UNKNOWN}/content"]
    _, answer = api.ask("/internal/resolve", {"names": ours + foreign + unknown, "fit": None})
    assert {name: media["id"] for name, media in answer["media"].items()} == dict.fromkeys(
        ours, media_id
    )
    assert sorted(answer["foreign"]) == sorted(foreign)
    assert answer["errors"].keys() == set(unknown)


def test_the_urls_of_a_model_live_as_long_as_its_setting_says(tmp_path: Path) -> None:
    with (
        running_sidecar(tmp_path, S3_PRESIGN_TTL="1m", LLM_URL_TTL="1h") as running,
        Api(running) as api,
    ):
        media_id = api.upload(picture())["id"]
        _, answer = api.ask("/internal/resolve", {"names": [media_id]})
        assert answer["media"][media_id]["ttl"] == 3600
        assert api.get(f"/v1/media/{media_id}/presign").json()["expires_in"] == 60


def test_content_is_the_bytes(api: Api) -> None:
    data = picture()
    media_id = api.upload(data)["id"]
    packed = msgpack.packb({"id": media_id, "fit": None})
    answer = api.internal.post("/internal/content", content=packed)
    assert (answer.content, answer.headers["content-type"]) == (data, "image/png")
    for wrong, status in (({"id": UNKNOWN}, 404), ({"id": "x"}, 404), ({}, 400), ({"id": 1}, 400)):
        assert api.ask("/internal/content", wrong)[0] == status


def test_media_is_answered_as_it_fits(api: Api) -> None:
    media_id = api.upload(picture(size=(200, 100)))["id"]
    fit = {"types": ["image/jpeg"], "max_edge": 50}
    _, answer = api.ask("/internal/resolve", {"names": [media_id, UNKNOWN], "fit": fit})
    found = answer["media"][media_id]
    assert (found["id"], found["mime"]) == (media_id, "image/jpeg")
    made = api.http.get(found["url"]).content
    assert (len(made), made[:2]) == (found["bytes"], b"\xff\xd8")
    assert answer["errors"].keys() == {UNKNOWN}
    packed = msgpack.packb({"id": media_id, "fit": fit})
    assert api.internal.post("/internal/content", content=packed).content == made


def test_store_keeps_a_file_for_the_caller_as_an_upload_does(api: Api) -> None:
    data = picture()
    headers = api.as_user("bob") | {"Content-Type": "image/jpeg"}
    answer = api.internal.post("/internal/store", content=data, headers=headers)
    stored = msgpack.unpackb(answer.content)
    assert stored == {
        "id": stored["id"],
        "mime": "image/png",
        "bytes": len(data),
        "deduped": False,
    }
    again = api.internal.post("/internal/store", content=data, headers=headers)
    assert msgpack.unpackb(again.content) == stored | {"deduped": True}
    assert api.delete(stored["id"], "bob").status_code == 204


def test_store_refuses_what_an_upload_refuses(api: Api) -> None:
    headers = api.as_user("bob")
    for body, status, code in (
        (b"", 400, "empty_file"),
        (b"no picture", 400, "invalid_media"),
        (b"a" * (MAX_BYTES + 1), 413, "max_size_exceeded"),
    ):
        answer = api.internal.post("/internal/store", content=body, headers=headers)
        assert_error(answer, status, code)


@pytest.mark.parametrize(
    "message",
    [7, [], {}, {"names": "x"}, {"names": [7]}, {"names": ["x"] * 1001}, {"names": [], "fit": 7}],
)
def test_a_message_that_makes_no_sense_is_400(api: Api, message: object) -> None:
    status, answer = api.ask("/internal/resolve", message)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")


def test_a_body_that_is_no_msgpack_is_400(api: Api) -> None:
    for body in (b"", b"\xc1", b"{}{}", b"\x91" * 5000):
        response = api.internal.post("/internal/resolve", content=body)
        assert (response.status_code, response.json()["error"]["param"]) == (400, None)


def test_a_key_is_good_until_it_is_revoked(api: Api, sidecar: RunningSidecar) -> None:
    made = run_jan_media(
        "keys", "create", "--owner", "ann", "--group", "vip", data_dir=sidecar.data_dir
    )
    key = made.stdout.strip()
    _, answer = api.ask("/internal/keys/verify", {"key": key})
    assert answer["valid"] is True
    assert (answer["user_id"], answer["groups"], answer["expires_at"]) == ("ann", ["vip"], None)

    listed = run_jan_media("keys", "list", "--owner", "ann", data_dir=sidecar.data_dir)
    assert answer["key_id"] in listed.stdout
    assert key not in listed.stdout

    revoked = run_jan_media("keys", "revoke", answer["key_id"], data_dir=sidecar.data_dir)
    assert revoked.returncode == 0
    _, answer = api.ask("/internal/keys/verify", {"key": key})
    assert answer["valid"] is False


@pytest.mark.parametrize("key", ["", "sk_", "sk_" + "a" * 40, "ключ"])
def test_an_unknown_key_is_not_valid(api: Api, key: str) -> None:
    _, answer = api.ask("/internal/keys/verify", {"key": key})
    assert answer["valid"] is False


def test_metrics_count_requests_and_media(api: Api) -> None:
    before = _scrape(api)
    api.upload(picture())
    request = {"route": "/v1/media", "method": "POST", "status": "200"}
    for name in ("jan_media_requests_total", "jan_media_catalog_media"):
        labels = request if name.endswith("total") else {}
        expected = before.value(name, **labels) + 1
        wait_until(lambda: _scrape(api).value(name, **labels) >= expected)  # noqa: B023
        assert _scrape(api).value(name, **labels) == expected


def test_metrics_time_the_storage_and_the_catalog(api: Api) -> None:
    before = _scrape(api)
    id = api.upload(picture())["id"]
    api.http.get(f"/v1/media/{id}/content")
    after = _scrape(api)
    for name, operation in (
        ("jan_media_storage_seconds", "put"),
        ("jan_media_storage_seconds", "read"),
        ("jan_media_catalog_seconds", "commit_upload"),
    ):
        calls, seconds = (
            after.value(f"{name}_{part}", operation=operation)
            - before.value(f"{name}_{part}", operation=operation)
            for part in ("count", "sum")
        )
        assert calls == 1
        assert 0 < seconds < 10


def test_metrics_time_fetches_by_how_they_ended(api: Api) -> None:
    before = _scrape(api)
    source = {"type": "remote_url", "url": "http://127.0.0.1:1/a.png"}
    assert api.post("/v1/media", {"source": source}).status_code == 502
    name, labels = "jan_media_fetch_seconds_count", {"outcome": "remote_fetch_failed"}
    assert _scrape(api).value(name, **labels) == before.value(name, **labels) + 1


def test_the_log_says_which_request_a_line_is_about_and_who_called(api: Api) -> None:
    api.ask(
        "/internal/resolve",
        {"names": [UNKNOWN]},
        **{"X-Kong-Request-Id": "0f0f", "X-Jan-User-Id": "al", "X-Jan-Issuer": "https://i.example"},
    )
    ended = "request=0f0f caller='https://i.example|al'"
    wait_until(lambda: ended in _line(api, "POST /internal/resolve 200"))


def test_a_forged_request_id_is_not_believed(api: Api) -> None:
    api.http.get("/v1/forged", headers={"X-Kong-Request-Id": "0f caller='admin'"})
    wait_until(lambda: "GET /v1/forged" in api.sidecar.log)
    assert re.search(r" request=[0-9a-f]{32}$", _line(api, "GET /v1/forged"))


def test_nobody_is_the_caller_whom_no_gateway_vouches_for(tmp_path: Path) -> None:
    with running_sidecar(tmp_path, GATEWAY_SECRET="s" * 32) as sidecar, Api(sidecar) as api:
        api.get("/files/images/x")
        api.get("/v1/media")
        wait_until(lambda: "GET /v1/media 401" in sidecar.log)
        assert "GET /files/images/x" in sidecar.log
        assert "caller" not in sidecar.log


def test_the_log_may_be_json_lines(tmp_path: Path) -> None:
    with running_sidecar(tmp_path, LOG_FORMAT="json") as sidecar, Api(sidecar) as api:
        api.get("/healthz", X_Kong_Request_Id="0f0f")
        wait_until(lambda: "/healthz" in sidecar.log)
        (said,) = [json.loads(line) for line in sidecar.log.splitlines()]
    asked = {"method": "GET", "path": "/healthz", "status": 200, "request_id": "0f0f"}
    assert said == said | asked


def _line(api: Api, part: str) -> str:
    """The last line of the log that has ``part`` in it; "" if there is none."""
    return next((line for line in reversed(api.sidecar.log.splitlines()) if part in line), "")


def _scrape(api: Api) -> Scrape:
    return Scrape(f"{api.internal.base_url}/metrics")


def test_pictures_are_made_to_fit_at_their_upload_where_the_operator_wants_that(
    tmp_path: Path,
) -> None:
    fit = {"types": ["image/jpeg"], "max_edge": 50}
    with running_sidecar(tmp_path, RENDITIONS_AHEAD="true") as sidecar, Api(sidecar) as api:
        seen = api.upload(picture(size=(200, 100)))["id"]
        assert api.ask("/internal/resolve", {"names": [seen], "fit": fit})[0] == 200
        new = picture(size=(200, 100))
        api.upload(new)
        sha256 = hashlib.sha256(new).hexdigest()
        with open_migrated(f"sqlite:///{tmp_path}/catalog.db") as catalog:
            made = wait_until(lambda: catalog.renditions([sha256]))[sha256, Fit.parse(fit).key]
    assert (made.mime, made.width) == ("image/jpeg", 50)
