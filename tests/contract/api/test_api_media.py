"""Information, resolving, listing and deletion."""

import re
import time

import pytest

from tests.contract.api.client import Api, assert_error
from tests.support.pictures import picture
from tests.support.sidecar import RunningSidecar

UNKNOWN = "jan_01hqr8v9k2x3f4g5h6j7k8m9n0"


def test_info_has_the_fields_of_the_specification(api: Api) -> None:
    data = picture()
    uploaded = api.upload(data)
    info = api.get(f"/v1/media/{uploaded['id']}").json()
    assert info.keys() == {
        *("id", "mime", "bytes", "created_at"),
        *("presigned_url", "url", "expires_at"),
    }
    assert info["url"] == info["presigned_url"]
    assert (info["id"], info["mime"], info["bytes"]) == (uploaded["id"], "image/png", len(data))
    for name in ("created_at", "expires_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", info[name])


def test_an_id_is_accepted_in_any_case(api: Api) -> None:
    uploaded = api.upload(picture())
    assert api.get(f"/v1/media/{uploaded['id'].upper()}").json()["id"] == uploaded["id"]


def test_presign_gives_a_url_and_its_life(api: Api) -> None:
    data = picture()
    answer = api.get(f"/v1/media/{api.upload(data)['id']}/presign").json()
    assert answer.keys() == {"id", "url", "expires_in"}
    assert answer["expires_in"] == 300
    assert api.http.get(answer["url"]).content == data


@pytest.mark.parametrize("id", [UNKNOWN, "jan_invalid_id", "x", "jan_" + "z" * 26, "%00"])
@pytest.mark.parametrize("rest", ["", "/presign", "/content"])
def test_an_unknown_id_is_404(api: Api, id: str, rest: str) -> None:
    error = assert_error(api.get(f"/v1/media/{id}{rest}"), 404, "media_not_found")
    assert error["type"] == "not_found_error"


# --- resolve


def test_ids_resolve_in_the_order_they_were_asked_for(api: Api) -> None:
    ids = [api.upload(picture())["id"] for _ in range(3)]
    asked = [ids[2], ids[0].upper(), ids[1], ids[0]]
    media = api.post("/v1/media/resolve", {"ids": asked}).json()["media"]
    assert [item["id"] for item in media] == [ids[2], ids[0], ids[1], ids[0]]
    assert all(item.keys() == {"id", "presigned_url", "expires_at"} for item in media)


def test_an_unknown_id_among_many_is_named(api: Api) -> None:
    known = api.upload(picture())["id"]
    response = api.post("/v1/media/resolve", {"ids": [known, UNKNOWN]})
    assert_error(response, 404, "media_not_found", "ids[1]")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_field", "ids"),
        ({"ids": "x"}, "invalid_field", "ids"),
        ({"ids": []}, "invalid_field", "ids"),
        ({"ids": [UNKNOWN] * 1001}, "invalid_field", "ids"),
        ({"ids": [7]}, "invalid_field", "ids[0]"),
    ],
)
def test_a_bad_list_of_ids_is_400(api: Api, body: object, code: str, param: str) -> None:
    assert_error(api.post("/v1/media/resolve", body), 400, code, param)


def test_a_payload_comes_back_with_every_whole_id_replaced(api: Api) -> None:
    first, second = api.upload(picture())["id"], api.upload(picture())["id"]
    payload = {
        "model": "m",
        "messages": [{"content": [{"image_url": {"url": first}}, {"image_url": second.upper()}]}],
        "placeholder": f"data:image/png;{first}",
        "text": f"look at {first}",
        first: 1,
        "numbers": [1, 1.5, -2e-7, 12345678901234567890, True, None],
    }
    answer = api.post("/v1/media/resolve", {"payload": payload}).json()
    assert answer.keys() == {"payload"}
    resolved = answer["payload"]
    content = resolved["messages"][0]["content"]
    assert content[0]["image_url"]["url"].startswith("http")
    assert content[1]["image_url"].startswith("http")
    assert resolved["placeholder"] == content[0]["image_url"]["url"]
    untouched = {"model", "text", first, "numbers"}
    assert {key: resolved[key] for key in untouched} == {key: payload[key] for key in untouched}


def test_a_payload_may_be_any_json(api: Api) -> None:
    media_id = api.upload(picture())["id"]
    payload = api.post("/v1/media/resolve", {"payload": media_id}).json()["payload"]
    assert payload.startswith("http")
    assert api.post("/v1/media/resolve", {"payload": None}).json() == {"payload": None}


def test_an_unknown_id_in_a_payload_is_named_by_its_place(api: Api) -> None:
    body = {"payload": {"messages": [{"url": "x"}, {"url": UNKNOWN}]}}
    response = api.post("/v1/media/resolve", body)
    assert_error(response, 404, "media_not_found", "payload.messages[1].url")


def test_a_number_that_json_cannot_carry_back_is_400(api: Api) -> None:
    response = api.http.post(
        "/v1/media/resolve",
        content=b'{"payload": 1e999}',
        headers={"Content-Type": "application/json"},
    )
    assert_error(response, 400, "invalid_json", "payload")


# --- one's own


def test_the_list_shows_ones_own_media_newest_first_in_pages(api: Api) -> None:
    api.user = "lister"
    ids = [api.upload(picture())["id"] for _ in range(3)]
    api.upload(picture(), "somebody-else")
    first = api.get("/v1/media?limit=2").json()
    assert first.keys() == {"media", "next"}
    second = api.get(f"/v1/media?limit=2&after={first['next']}").json()
    assert sorted(ids) == sorted(item["id"] for item in first["media"] + second["media"])
    assert first["media"][0]["id"] > first["media"][1]["id"] > second["media"][0]["id"]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("query", "param"), [("limit=0", "limit"), ("limit=x", "limit"), ("after=x", "after")]
)
def test_a_bad_page_is_400(api: Api, query: str, param: str) -> None:
    assert_error(api.get(f"/v1/media?{query}"), 400, "invalid_field", param)


def test_media_goes_with_its_last_owner(api: Api) -> None:
    data = picture()
    media_id = api.upload(data, "ann")["id"]
    api.upload(data, "bob")
    link = api.get(f"/v1/media/{media_id}").json()["presigned_url"]
    assert_error(api.delete(media_id, "eve"), 403, "not_owner")
    assert api.delete(media_id, "ann").status_code == 204
    assert api.get(f"/v1/media/{media_id}").status_code == 200
    assert_error(api.delete(media_id, "ann"), 403, "not_owner")
    assert api.delete(media_id, "bob").status_code == 204
    assert_error(api.get(f"/v1/media/{media_id}"), 404, "media_not_found")
    assert_error(api.delete(media_id, "bob"), 404, "media_not_found")
    assert api.http.get(link).status_code == 404
    again = api.upload(data, "ann")
    assert (again["deduped"], again["id"] != media_id) == (False, True)


def test_the_same_subject_of_another_issuer_is_another_owner(api: Api) -> None:
    media_id = api.upload(picture(), "ann")["id"]
    response = api.http.delete(
        f"/v1/media/{media_id}",
        headers={"X-Jan-User-Id": "ann", "X-Jan-Issuer": "https://other.test"},
    )
    assert_error(response, 403, "not_owner")


def test_the_date_is_that_of_ones_own_upload(sidecar: RunningSidecar) -> None:
    data = picture()
    with Api(sidecar, "first") as first, Api(sidecar, "second") as second:
        id = first.upload(data)["id"]
        newer = first.upload(picture())["id"]
        wait_for_the_next_second()
        assert second.upload(data)["id"] == id

        dates = [each.get(f"/v1/media/{id}").json()["created_at"] for each in (first, second)]
        assert dates[0] < dates[1]
        assert second.get("/v1/media").json()["media"][0]["created_at"] == dates[1]
        assert second.upload(data)["deduped"] is True
        first.upload(data)  # again: its place in the list stays
        assert [each["id"] for each in first.get("/v1/media").json()["media"]] == [newer, id]


def wait_for_the_next_second() -> None:
    """Dates are shown in whole seconds."""
    now = time.time()
    time.sleep(int(now) + 1 - now)
