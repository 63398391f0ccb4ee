"""``jan-media migrate --from-jan-server``: the media of jan-server's media-api are copied."""

import hashlib
from pathlib import Path

import psycopg
from jan_media.media_id import new_media_id

from tests.contract.api.client import Api
from tests.support.ceph import ACCESS_KEY, SECRET_KEY, Ceph
from tests.support.pictures import picture
from tests.support.sidecar import run_jan_media, running_sidecar

ISSUER = "https://issuer.test"
COLUMNS = """
    id varchar(40) PRIMARY KEY, storage_provider varchar(32), storage_key varchar(255),
    mime_type varchar(255), bytes bigint, sha256 char(64) UNIQUE, created_by varchar(64),
    retention_until timestamptz, created_at timestamptz DEFAULT now()
"""


class MediaApi:
    """A media-api's database and bucket."""

    def __init__(self, url: str, ceph: Ceph) -> None:
        self.url, self.ceph, self.bucket = url, ceph, ceph.new_bucket()
        self._execute("CREATE SCHEMA media_api")
        self._execute(f"CREATE TABLE media_api.media_objects ({COLUMNS})")

    def keep(
        self,
        data: bytes,
        *,
        mime: str = "image/png",
        user: str | None = "ada",
        ends: str = "30 days",
        stored: bytes | None = None,
    ) -> str:
        """Have it keep a file; the id."""
        id = new_media_id()
        key = f"files/{id}.PNG"
        row = (id, key, mime, len(data), hashlib.sha256(data).hexdigest(), user, ends)
        self._execute(
            "INSERT INTO media_api.media_objects VALUES"
            " (%s, 's3', %s, %s, %s, %s, %s, now() + %s::interval)",
            row,
        )
        body = data if stored is None else stored
        self.ceph.client().put_object(Bucket=self.bucket, Key=key, Body=body)
        return id

    def _execute(self, query: str, values: tuple[object, ...] = ()) -> None:
        with psycopg.connect(self.url, autocommit=True) as database:
            database.execute(query.encode(), values)


def test_ids_users_and_bytes_come_along(ceph: Ceph, postgres_url: str, tmp_path: Path) -> None:
    theirs = MediaApi(postgres_url, ceph)
    first, second, nobodys = (picture() for _ in range(3))
    kept = {theirs.keep(first): first, theirs.keep(second): second}
    unnamed = theirs.keep(nobodys, user=None)
    over = theirs.keep(picture(), ends="-1 day")
    page = theirs.keep(b"<script>alert(1)</script>", mime="text/html; charset=utf-8")
    damaged = theirs.keep(picture(), stored=b"something else")

    def migrate() -> tuple[int, str]:
        done = run_jan_media(
            "migrate",
            *("--from-storage", f"s3://{theirs.bucket}", "--from-database", theirs.url),
            *("--from-jan-server", ISSUER),
            data_dir=tmp_path,
            S3_ENDPOINT=ceph.endpoint,
            S3_ACCESS_KEY=ACCESS_KEY,
            S3_SECRET_KEY=SECRET_KEY,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    for _ in range(2):  # again, nothing is left to do
        status, said = migrate()
        assert status == 1
        assert f"no right bytes for these ids:\n{damaged}" in said
        assert f"MEDIA_FILE_TYPES do not name their types: {page}" in said
    with running_sidecar(tmp_path) as sidecar, Api(sidecar, user="ada") as ada:
        assert {each["id"] for each in ada.get("/v1/media").json()["media"]} == set(kept)
        for id, data in kept.items():
            assert ada.get(f"/v1/media/{id}/content").content == data
        assert ada.get(f"/v1/media/{unnamed}/content").content == nobodys
        for id in (over, page, damaged):
            assert ada.get(f"/v1/media/{id}/content").status_code == 404


def test_a_database_of_another_service_is_refused(
    ceph: Ceph, postgres_url: str, tmp_path: Path
) -> None:
    done = run_jan_media(
        "migrate",
        *("--from-storage", f"s3://{ceph.new_bucket()}", "--from-database", postgres_url),
        *("--from-jan-server", ISSUER),
        data_dir=tmp_path,
        S3_ENDPOINT=ceph.endpoint,
        S3_ACCESS_KEY=ACCESS_KEY,
        S3_SECRET_KEY=SECRET_KEY,
    )
    assert done.returncode == 1
    assert "there is no table media_api.media_objects" in done.stderr
