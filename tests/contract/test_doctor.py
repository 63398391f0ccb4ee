"""``jan-media doctor`` on real services, configured correctly and incorrectly."""

import re
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
from jan_media.catalog.open import open_catalog

from demo.kong_settings import ROOT
from tests.support.ceph import ACCESS_KEY, SECRET_KEY, Ceph
from tests.support.postgres import PostgresServer
from tests.support.sidecar import run_jan_media, running_sidecar

Done = CompletedProcess[str]


def doctor(*options: str, data_dir: Path, **settings: str) -> Done:
    done = run_jan_media("doctor", *options, data_dir=data_dir, **settings)
    assert "Traceback" not in done.stderr
    return done


def verdicts(done: Done) -> dict[str, str]:
    """The worst verdict on each subject."""
    found: dict[str, str] = {}
    for verdict, subject in re.findall(r"^(\w+) +([^:]+):", done.stdout, re.MULTILINE):
        if found.get(subject, "ok") != "problem":
            found[subject] = verdict if verdict != "ok" else found.get(subject, "ok")
    return found


@pytest.fixture
def shared(ceph: Ceph, postgres_url: str) -> dict[str, str]:
    """Settings for S3 and PostgreSQL that are right."""
    bucket = ceph.new_bucket()
    ceph.client().put_bucket_cors(
        Bucket=bucket,
        CORSConfiguration={
            "CORSRules": [
                {
                    "AllowedOrigins": ["*"],
                    "AllowedMethods": ["GET", "PUT", "POST"],
                    "AllowedHeaders": ["content-type"],
                }
            ]
        },
    )
    return {
        "STORAGE_BACKEND": "s3",
        "S3_ENDPOINT": ceph.endpoint,
        "S3_BUCKET": bucket,
        "S3_ACCESS_KEY": ACCESS_KEY,
        "S3_SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": postgres_url,
        "GUEST_LOGIN": "false",
    }


def test_s3_and_postgres_set_up_rightly(shared: dict[str, str], tmp_path: Path) -> None:
    done = doctor(data_dir=tmp_path, **shared)
    assert done.returncode == 0
    assert set(verdicts(done).values()) == {"ok"}, done.stdout
    assert {"catalog", "connections", "bucket", "cors", "clock", "presigned form"} <= set(
        verdicts(done)
    )
    assert "enough for" in done.stdout
    assert "goes from version 0" in done.stdout  # and nothing was made
    catalog = open_catalog(shared["DATABASE_URL"])
    assert catalog.schema_version() == 0
    catalog.close()


@pytest.mark.parametrize(
    ("wrong", "subject", "said"),
    [
        ({"S3_BUCKET": "no-such-bucket"}, "bucket", "MEDIA_S3_BUCKET"),
        ({"S3_SECRET_KEY": "wrong"}, "credentials", "MEDIA_S3_SECRET_KEY"),
        ({"S3_ENDPOINT": "http://127.0.0.1:1"}, "endpoint", "MEDIA_S3_ENDPOINT"),
        ({"DATABASE_URL": "postgresql://x@127.0.0.1:1/y"}, "catalog", "MEDIA_DATABASE_URL"),
        ({"SIGNING_KEY": "no key"}, "settings", "MEDIA_SIGNING_KEY"),
        ({"WORKERS": "64"}, "connections", "max_connections"),
    ],
)
def test_each_thing_that_is_wrong_is_a_problem_with_its_setting(
    shared: dict[str, str], tmp_path: Path, wrong: dict[str, str], subject: str, said: str
) -> None:
    done = doctor(data_dir=tmp_path, **shared | wrong)
    assert done.returncode == 1
    assert verdicts(done)[subject] == "problem", done.stdout
    assert said in done.stdout


def test_a_schema_of_a_later_version_is_a_problem(shared: dict[str, str], tmp_path: Path) -> None:
    catalog = open_catalog(shared["DATABASE_URL"])
    catalog.migrate()
    catalog.close()
    with psycopg.connect(shared["DATABASE_URL"]) as connection:
        connection.execute("UPDATE schema_version SET version = 999")
    done = doctor(data_dir=tmp_path, **shared)
    assert (done.returncode, verdicts(done)["catalog"]) == (1, "problem")
    assert "upgrade the sidecar" in done.stdout


def test_connections_of_others_are_counted(
    shared: dict[str, str], tmp_path: Path, postgres_server: PostgresServer
) -> None:
    taken = [psycopg.connect(postgres_server.url()) for _ in range(9)]
    said = doctor(data_dir=tmp_path, **shared).stdout
    for connection in taken:
        connection.close()
    (others,) = re.findall(r"others use (\d+) of them", said)
    assert int(others) >= 9


def test_many_machines_need_a_common_signing_key(shared: dict[str, str], tmp_path: Path) -> None:
    done = doctor(data_dir=tmp_path, **shared | {"GUEST_LOGIN": "true"})
    assert (done.returncode, verdicts(done)["settings"]) == (0, "warning")
    assert "MEDIA_SIGNING_KEY_FILE" in done.stdout


def test_local_and_sqlite_set_up_rightly(tmp_path: Path) -> None:
    with running_sidecar(tmp_path):
        pass
    done = doctor(data_dir=tmp_path)
    assert done.returncode == 0
    assert set(verdicts(done).values()) == {"ok"}, done.stdout
    assert not list(tmp_path.glob(".doctor*"))


def test_a_data_folder_that_cannot_be_made_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = doctor(data_dir=tmp_path / "file" / "media")
    assert (done.returncode, verdicts(done)["data folder"]) == (1, "problem")
    assert "MEDIA_DATA_DIR" in done.stdout


def test_a_catalog_that_others_may_read_is_a_warning(tmp_path: Path) -> None:
    with running_sidecar(tmp_path):
        pass
    (tmp_path / "catalog.db").chmod(0o644)
    done = doctor(data_dir=tmp_path)
    assert (done.returncode, verdicts(done)["catalog"]) == (0, "warning")


def test_kong_yml_is_checked_if_it_is_named(tmp_path: Path) -> None:
    fine = doctor("--kong", str(ROOT / "kong.yml"), data_dir=tmp_path, LISTEN="127.0.0.1:8285")
    assert (fine.returncode, verdicts(fine)["kong.yml"]) == (0, "ok"), fine.stdout
    unguarded = tmp_path / "kong.yml"
    text = (ROOT / "kong.yml").read_text("utf-8")
    open_way = '/console/"]'
    assert open_way in text
    unguarded.write_text(text.replace(open_way, '/"]'))
    found = doctor("--kong", str(unguarded), data_dir=tmp_path, LISTEN="127.0.0.1:8285")
    assert (found.returncode, verdicts(found)["route console"]) == (1, "problem")
    missing = doctor("--kong", str(tmp_path / "nowhere.yml"), data_dir=tmp_path)
    assert (missing.returncode, verdicts(missing)["kong.yml"]) == (1, "problem")
