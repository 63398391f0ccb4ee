"""Two sidecars, two workers each, on one PostgreSQL and one S3."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.api.client import Api, assert_error, data_url_body
from tests.contract.api.test_api_direct_upload import send_form
from tests.support.ceph import ACCESS_KEY, SECRET_KEY, Ceph
from tests.support.pictures import picture
from tests.support.postgres import PostgresServer
from tests.support.sidecar import run_jan_media, running_sidecar


def s3_settings(ceph: Ceph, bucket: str) -> dict[str, str]:
    return {
        "STORAGE_BACKEND": "s3",
        "S3_ENDPOINT": ceph.endpoint,
        "S3_BUCKET": bucket,
        "S3_ACCESS_KEY": ACCESS_KEY,
        "S3_SECRET_KEY": SECRET_KEY,
        "S3_USE_PATH_STYLE": "true",
    }


@pytest.fixture(scope="module")
def pair(
    ceph: Ceph, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Api, Api]]:
    settings = s3_settings(ceph, ceph.new_bucket())
    settings |= {"DATABASE_URL": postgres_server.new_database(), "WORKERS": "2"}
    folder = tmp_path_factory.mktemp("pair")
    with (
        running_sidecar(folder / "one", **settings) as one,
        running_sidecar(folder / "two", **settings) as two,
        Api(one) as first,
        Api(two) as second,
    ):
        yield first, second


def test_what_one_took_the_other_serves_at_once(pair: tuple[Api, Api]) -> None:
    one, two = pair
    data = picture()
    uploaded = one.upload(data, "ann")
    assert two.upload(data, "bob")["id"] == uploaded["id"]
    assert two.get(f"/v1/media/{uploaded['id']}/content").content == data
    assert httpx.get(two.get(f"/v1/media/{uploaded['id']}").json()["presigned_url"]).content == data
    _, answer = two.ask("/internal/resolve", {"names": [uploaded["id"]]})
    assert httpx.get(answer["media"][uploaded["id"]]["url"]).content == data


def test_a_form_goes_to_s3_and_its_id_works_everywhere(pair: tuple[Api, Api]) -> None:
    one, two = pair
    data = picture()
    prepared = one.prepare()
    assert send_form(prepared, data).status_code == 204
    assert two.get(f"/v1/media/{prepared['id']}/content").content == data
    assert send_form(prepared, picture()).status_code == 204
    assert one.get(f"/v1/media/{prepared['id']}/content").content == data


def test_the_last_claim_takes_the_bytes_from_s3(pair: tuple[Api, Api]) -> None:
    one, two = pair
    uploaded = one.upload(picture())
    assert two.delete(uploaded["id"]).status_code == 204
    assert_error(one.get(f"/v1/media/{uploaded['id']}"), 404, "media_not_found")
    assert httpx.get(uploaded["presigned_url"]).status_code == 404


def test_s3_away_is_503_until_it_is_back(pair: tuple[Api, Api], ceph: Ceph) -> None:
    one, _ = pair
    media_id = one.upload(picture())["id"]
    data = picture()
    with ceph.gateway_stopped():
        response = one.post("/v1/media", data_url_body(data))
        assert_error(response, 503, "service_unavailable")
        assert response.headers["retry-after"]
        assert_error(one.http.get("/readyz"), 503, "service_unavailable")
        assert one.get(f"/v1/media/{media_id}").status_code == 200  # needs no S3
    assert one.upload(data)["deduped"] is False
    assert one.http.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"S3_BUCKET": "no-such-bucket"}, "MEDIA_S3_BUCKET"),
        ({"S3_SECRET_KEY": "wrong"}, "MEDIA_S3_SECRET_KEY"),
        ({"S3_ACCESS_KEY": "NOBODY"}, "MEDIA_S3_ACCESS_KEY"),
    ],
)
def test_a_bucket_that_is_missing_or_denied_stops_the_start(
    ceph: Ceph, tmp_path: Path, wrong: dict[str, str], named: str
) -> None:
    settings = s3_settings(ceph, ceph.new_bucket()) | wrong
    assert_does_not_start(settings, tmp_path, named)


def test_a_bucket_of_somebody_else_stops_the_start(ceph: Ceph, tmp_path: Path) -> None:
    access_key, secret_key = ceph.new_user()
    theirs = {"S3_ACCESS_KEY": access_key, "S3_SECRET_KEY": secret_key}
    settings = s3_settings(ceph, ceph.new_bucket()) | theirs
    assert_does_not_start(settings, tmp_path, "MEDIA_S3_BUCKET")


def assert_does_not_start(settings: dict[str, str], tmp_path: Path, named: str) -> None:
    ended = run_jan_media("serve", data_dir=tmp_path, **settings)
    assert ended.returncode == 1
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr
