"""``jan-media migrate``: from one storage and catalog to others, even if killed and resumed."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from jan_media.catalog.catalog import Catalog
from jan_media.catalog.interface import Rendition
from jan_media.catalog.open import open_catalog
from jan_media.library.library import now_ms

from tests.contract.api.client import Api
from tests.support.catalogs import open_migrated
from tests.support.ceph import ACCESS_KEY, SECRET_KEY, Ceph
from tests.support.media_set import assert_all_there, filled
from tests.support.pictures import picture
from tests.support.postgres import PostgresServer
from tests.support.sidecar import environment, run_jan_media, running_sidecar
from tests.support.waiting import wait_until

# `make soak` kills more often.
KILLS = int(os.environ.get("MIGRATE_KILLS", "3"))
BETWEEN = 15  # ids that arrive between two kills


def on_s3(ceph: Ceph, database: str, bucket: str) -> dict[str, str]:
    return {
        "STORAGE_BACKEND": "s3",
        "S3_ENDPOINT": ceph.endpoint,
        "S3_BUCKET": bucket,
        "S3_ACCESS_KEY": ACCESS_KEY,
        "S3_SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": database,
    }


def migrate(*options: str, data_dir: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    return run_jan_media("migrate", *options, data_dir=data_dir, **settings)


def kill_when(
    catalog: Catalog,
    ids: int,
    command: list[str],
    variables: dict[str, str],
) -> None:
    """Start a move and kill it as soon as the target holds so many ids."""
    with subprocess.Popen(
        [sys.executable, "-m", "jan_media", *command],
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as moving:
        wait_until(lambda: catalog.counts()["media"] >= ids or moving.poll() is not None)
        assert moving.poll() is None, "it ended before it could be killed"
        moving.kill()


def test_local_and_sqlite_to_s3_and_postgres_and_back_with_kills(
    ceph: Ceph, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    old, new, back = tmp_path / "old", tmp_path / "new", tmp_path / "back"
    with running_sidecar(old) as sidecar:
        made = filled(sidecar, uploads=(KILLS + 1) * BETWEEN)
    s3 = on_s3(ceph, postgres_server.new_database(), ceph.new_bucket())

    catalog = open_catalog(s3["DATABASE_URL"])
    catalog.migrate()
    command = ["migrate", "--from-storage", str(old), "--jobs", "2"]
    for kill in range(1, KILLS + 1):
        kill_when(catalog, kill * BETWEEN, command, environment(new, **s3))
    catalog.close()
    moved = migrate(*command[1:], data_dir=new, **s3)
    assert moved.returncode == 0, moved.stderr
    assert "damaged=0" in moved.stdout
    assert f"of about {len(made.sha256) + 2} ids" in moved.stderr

    again = migrate(*command[1:], data_dir=new, **s3)
    assert "new_or_changed=0 copied_objects=0" in again.stdout
    with running_sidecar(new, **s3) as sidecar:
        assert_all_there(made, sidecar)
    swept = run_jan_media("sweep", "--grace", "0s", data_dir=new, **s3)
    assert swept.returncode == 0, swept.stderr
    objects = ceph.client().list_objects_v2(Bucket=s3["S3_BUCKET"])["Contents"]
    contents = [each for each in objects if each["Key"].startswith("content/")]
    assert len(contents) == len(set(made.sha256.values()) | set(made.uploaded.values()))

    home = {name: value for name, value in s3.items() if name.startswith("S3_")}
    returned = migrate(
        *("--from-storage", f"s3://{s3['S3_BUCKET']}", "--from-database", s3["DATABASE_URL"]),
        data_dir=back,
        **home,
    )
    assert returned.returncode == 0, returned.stderr
    made.sha256 |= made.uploaded  # the first use there has settled it
    made.uploaded.clear()
    with running_sidecar(back) as sidecar:
        assert_all_there(made, sidecar)


def test_from_one_s3_to_another_with_the_sources_settings_apart(
    ceph: Ceph, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    first = on_s3(ceph, postgres_server.new_database(), ceph.new_bucket())
    second = on_s3(ceph, postgres_server.new_database(), ceph.new_bucket())
    with running_sidecar(tmp_path / "a", **first) as sidecar, Api(sidecar) as api:
        data = picture()
        id = api.upload(data)["id"]
    source = ["--from-storage", f"s3://{first['S3_BUCKET']}", "--from-database"]
    variables = environment(tmp_path / "b", **second) | {"FROM_MEDIA_S3_SECRET_KEY": "wrong"}
    command = [sys.executable, "-m", "jan_media", "migrate", *source, first["DATABASE_URL"]]
    refused = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "MEDIA_S3_SECRET_KEY" in refused.stderr
    variables |= {"FROM_MEDIA_S3_SECRET_KEY": SECRET_KEY}
    assert subprocess.run(command, env=variables).returncode == 0
    with running_sidecar(tmp_path / "b", **second) as sidecar, Api(sidecar) as api:
        assert api.get(f"/v1/media/{id}/content").content == data


def test_a_later_run_brings_what_changed_and_deletes_only_if_told(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    with running_sidecar(old) as sidecar, Api(sidecar) as api:
        kept, gone, shared = (picture() for _ in range(3))
        ids = {name: api.upload(data)["id"] for name, data in (("kept", kept), ("gone", gone))}
        ids["shared"] = api.upload(shared, "ann")["id"]
        api.upload(shared, "bob")
        assert migrate("--from-storage", str(old), data_dir=new).returncode == 0
        assert api.delete(ids["gone"]).status_code == 204
        assert api.delete(ids["shared"], "bob").status_code == 204
        later = picture()
        ids["later"] = api.upload(later)["id"]
    second = migrate("--from-storage", str(old), data_dir=new)
    assert "new_or_changed=1 copied_objects=1" in second.stdout
    with running_sidecar(new) as sidecar, Api(sidecar) as api:
        assert api.get(f"/v1/media/{ids['later']}/content").content == later
        assert api.get(f"/v1/media/{ids['gone']}").status_code == 200
    last = migrate("--from-storage", str(old), "--delete", data_dir=new)
    assert "removed_claims=2" in last.stdout
    with running_sidecar(new) as sidecar, Api(sidecar) as api:
        assert api.get(f"/v1/media/{ids['gone']}").status_code == 404
        assert api.get(f"/v1/media/{ids['kept']}/content").content == kept
        assert api.delete(ids["shared"], "bob").status_code == 403
        assert api.delete(ids["shared"], "ann").status_code == 204


def test_a_damaged_object_is_named_and_its_id_does_not_arrive(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    with running_sidecar(old) as sidecar, Api(sidecar) as api:
        good, damaged = picture(), picture()
        ids = [api.upload(data)["id"] for data in (good, damaged)]
    (stored,) = [
        path for path in (old / "objects").rglob("content,*") if path.read_bytes() == damaged
    ]
    stored.write_bytes(damaged[:-1] + b"?")
    moved = migrate("--from-storage", str(old), data_dir=new)
    assert moved.returncode == 1
    assert "damaged=1" in moved.stdout
    assert ids[1] in moved.stderr
    with running_sidecar(new) as sidecar, Api(sidecar) as api:
        assert [api.get(f"/v1/media/{id}").status_code for id in ids] == [200, 404]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two empty libraries, ``old`` and ``new``."""
    folder = tmp_path_factory.mktemp("both")
    for name in ("old", "new"):
        with running_sidecar(folder / name):
            pass
    return folder


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--from-storage", "nowhere"], "there is no folder nowhere/objects"),
        (["--from-storage", "OLD", "--from-database", "sqlite:///nowhere.db"], "nowhere.db"),
        (["--from-storage", "s3://media"], "--from-database"),
        (["--from-storage", "ftp://host"], "--from-storage"),
        (["--from-storage", "NEW"], "one catalog"),
        (["--from-storage", "NEW", "--from-database", "sqlite:///OLD/catalog.db"], "one storage"),
    ],
)
def test_a_source_that_cannot_be_is_refused_before_anything_is_done(
    both: Path, options: list[str], said: str
) -> None:
    options = [
        each.replace("OLD", str(both / "old")).replace("NEW", str(both / "new")) for each in options
    ]
    refused = migrate(*options, data_dir=both / "new")
    assert refused.returncode == 1
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_renditions_move_along(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    fits: list[dict[str, object]] = [
        {"types": ["image/jpeg"], "max_edge": 50},
        {"types": ["image/png"]},  # as it is
    ]
    with running_sidecar(old) as sidecar, Api(sidecar) as api:
        id = api.upload(picture(size=(200, 100)))["id"]
        for fit in fits:
            api.ask("/internal/resolve", {"names": [id], "fit": fit})
    known = renditions(old)
    assert sorted(bool(each.storage_key) for each in known.values()) == [False, True]

    moved = migrate("--from-storage", str(old), data_dir=new)
    assert moved.returncode == 0, moved.stderr
    assert "copied_objects=2" in moved.stdout
    there = renditions(new)
    assert {fit: replace(each, storage_key="") for fit, each in there.items()} == {
        fit: replace(each, storage_key="") for fit, each in known.items()
    }
    again = migrate("--from-storage", str(old), data_dir=new)
    assert "copied_objects=0" in again.stdout
    with running_sidecar(new) as sidecar, Api(sidecar) as api:
        _, answer = api.ask("/internal/resolve", {"names": [id], "fit": fits[0]})
        assert api.http.get(answer["media"][id]["url"]).content[:2] == b"\xff\xd8"
    assert renditions(new) == there


def renditions(data_dir: Path) -> dict[str, Rendition]:
    """Those of all contents, by the names of their limits."""
    with open_migrated(f"sqlite:///{data_dir}/catalog.db") as catalog:
        ids = catalog.ids_after("", now=now_ms(), limit=99)
        hashes = [each.media.sha256 for each in catalog.records(ids, now=now_ms()).values()]
        return {fit: each for (_, fit), each in catalog.renditions(hashes).items()}
