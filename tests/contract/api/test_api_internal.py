"""The internal listener: what the Kong plugin asks."""

import base64
import time

import pytest

from tests.contract.api.client import Api
from tests.support.pictures import picture
from tests.support.sidecar import RunningSidecar, run_jan_media

UNKNOWN = "jan_01hqr8v9k2x3f4g5h6j7k8m9n0"


def test_ids_resolve_to_urls_and_unknown_ones_to_errors(api: Api) -> None:
    data = picture()
    media_id = api.upload(data)["id"]
    status, answer = api.ask("/internal/resolve", {"ids": [media_id, UNKNOWN], "as": "url"})
    assert status == 200
    found = answer["media"][media_id]
    assert found.keys() == {"url", "mime", "expires_at", "ttl"}
    assert (found["mime"], found["ttl"]) == ("image/png", 300)
    assert 290 < found["expires_at"] - time.time() <= 300
    assert api.http.get(found["url"]).content == data
    assert answer["errors"].keys() == {UNKNOWN}
    assert answer["errors"][UNKNOWN]["code"] == "media_not_found"


def test_ids_resolve_to_data_urls_within_the_limit(api: Api) -> None:
    small, large = picture(), picture(size=(200, 200))
    ids = [api.upload(small)["id"], api.upload(large)["id"]]
    _, answer = api.ask(
        "/internal/resolve", {"ids": ids, "as": "data_url", "max_bytes": len(small)}
    )
    expected = "data:image/png;base64," + base64.b64encode(small).decode()
    assert answer["media"][ids[0]]["url"] == expected
    assert answer["errors"][ids[1]]["code"] == "max_size_exceeded"


def test_resolving_completes_a_direct_upload(api: Api) -> None:
    prepared = api.prepare()
    _, answer = api.ask("/internal/resolve", {"ids": [prepared["id"]], "as": "url"})
    assert answer["errors"][prepared["id"]]["code"] == "upload_pending"
    data = picture()
    api.http.put(prepared["upload_url"], content=data, headers={"Content-Type": "image/png"})
    _, answer = api.ask("/internal/resolve", {"ids": [prepared["id"]], "as": "url"})
    assert api.http.get(answer["media"][prepared["id"]]["url"]).content == data


@pytest.mark.parametrize(
    "message",
    [7, [], {}, {"ids": "x"}, {"ids": [7]}, {"ids": [], "as": "ftp"}, {"ids": ["x"] * 10001}],
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
    api.upload(picture())
    text = api.internal.get("/metrics").text
    assert 'jan_media_requests_total{route="/v1/media",method="POST",status="200"}' in text
    assert "jan_media_catalog_media " in text
