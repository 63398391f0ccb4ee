"""The commands of docs/operations.md do what it says: back up, wipe, restore, move, rotate."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jwt
import psycopg
import pytest
from jan_media.identity.signing_keys import SigningKeys
from jan_media_plugin.metrics import REGISTRY as plugin_registry
from prometheus_client import generate_latest

from demo.kong_settings import ROOT
from tests.contract.api.client import Api
from tests.support.ceph import ACCESS_KEY, SECRET_KEY, Ceph
from tests.support.media_set import MediaSet, assert_all_there, filled
from tests.support.pictures import picture
from tests.support.sidecar import environment, running_sidecar

PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")


def commands(title: str) -> str:
    """The block of the page whose first line is this comment."""
    (block,) = re.findall(rf"^ *```sh\n *# {re.escape(title)}\n(.*?)^ *```", PAGE, re.M | re.S)
    return str(block)


def run(title: str, settings: dict[str, str], data_dir: Path, **variables: str) -> str:
    """Run a block of the page with the sidecar's environment; its output."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands(title)],
        env=without_aws(environment(data_dir, **settings))
        | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        | variables,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=data_dir,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def without_aws(variables: dict[str, str]) -> dict[str, str]:
    """Without what this machine's own AWS tools are told, which rclone would heed too."""
    return {name: value for name, value in variables.items() if not name.startswith("AWS_")}


@dataclass
class Installation:
    """Where a sidecar keeps its data, and how each half of it is saved and wiped."""

    ceph: Ceph
    settings: dict[str, str]
    data_dir: Path

    @property
    def on_s3(self) -> bool:
        return self.settings.get("STORAGE_BACKEND") == "s3"

    @property
    def on_postgres(self) -> bool:
        return "DATABASE_URL" in self.settings

    def titles(self) -> list[str]:
        """What is to be backed up, in this order."""
        return [
            "PostgreSQL" if self.on_postgres else "SQLite",
            "S3" if self.on_s3 else "a folder",
            "the keys",
        ]

    def wipe(self) -> None:
        """Lose everything."""
        shutil.rmtree(self.data_dir)
        if self.on_postgres:
            with psycopg.connect(self.settings["DATABASE_URL"]) as connection:
                connection.execute("DROP SCHEMA public CASCADE")
                connection.execute("CREATE SCHEMA public")
        if self.on_s3:
            bucket, client = self.settings["S3_BUCKET"], self.ceph.client()
            for each in client.list_objects_v2(Bucket=bucket)["Contents"]:
                client.delete_object(Bucket=bucket, Key=each["Key"])


@pytest.fixture(params=["sqlite+local", "postgres+s3"])
def installation(request: pytest.FixtureRequest, ceph: Ceph, tmp_path: Path) -> Installation:
    """Each storage and each catalog. The page has a block for each, whichever the other is."""
    settings: dict[str, str] = {}
    if request.param == "postgres+s3":
        settings = {"DATABASE_URL": request.getfixturevalue("postgres_url"), **on_s3(ceph)}
    return Installation(ceph, settings, tmp_path)


def on_s3(ceph: Ceph) -> dict[str, str]:
    return {
        "STORAGE_BACKEND": "s3",
        "S3_ENDPOINT": ceph.endpoint,
        "S3_BUCKET": ceph.new_bucket(),
        "S3_ACCESS_KEY": ACCESS_KEY,
        "S3_SECRET_KEY": SECRET_KEY,
    }


@contextmanager
def filled_sidecar(installed: Installation) -> Iterator[MediaSet]:
    """A running sidecar with media of every kind."""
    with running_sidecar(installed.data_dir, **installed.settings) as sidecar:
        yield filled(sidecar, uploads=4, **installed.settings)


def test_after_a_restore_every_id_is_there(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    backup = tmp_path_factory.mktemp("backup")
    settings, data_dir = installation.settings, installation.data_dir
    with filled_sidecar(installation) as made:
        for title in installation.titles():
            run(f"Back up: {title}", settings, data_dir, BACKUP=str(backup))
    installation.wipe()
    data_dir.mkdir()
    for title in installation.titles():
        run(f"Restore: {title}", settings, data_dir, BACKUP=str(backup))
    assert run("After a restore", settings, data_dir) == ""
    with running_sidecar(data_dir, **settings) as sidecar:
        assert_all_there(made, sidecar)


def test_curl_uploads_straight_to_s3(ceph: Ceph, tmp_path: Path) -> None:
    settings = on_s3(ceph)
    photo = picture("JPEG")
    (tmp_path / "photo.jpg").write_bytes(photo)
    with running_sidecar(tmp_path, **settings) as sidecar, Api(sidecar) as api:
        prepared = api.prepare("image/jpeg")
        form = prepared["presigned_post"]
        fields = {
            name.removeprefix("x-amz-").upper(): value for name, value in form["fields"].items()
        }
        run("Direct upload: curl", settings, tmp_path, URL=form["url"], **fields)
        assert api.get(f"/v1/media/{prepared['id']}/content").content == photo


def test_moving_there_and_back(
    ceph: Ceph, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    old, there, back = (tmp_path_factory.mktemp(name) for name in ("old", "there", "back"))
    with filled_sidecar(Installation(ceph, {}, old)) as made:
        pass
    settings = on_s3(ceph) | {"DATABASE_URL": postgres_url}
    run("Move: from a folder and SQLite", settings, there, OLD_DATA_DIR=str(old))
    run("Move: from S3 and PostgreSQL", settings, there, NEW_DATA_DIR=str(back))
    with running_sidecar(back) as sidecar:
        assert_all_there(made, sidecar)


def test_the_signing_key_is_changed_without_an_outage(tmp_path: Path) -> None:
    """At no step is a token refused by whoever reads the keys of either sidecar."""
    old, new = tmp_path / "old.pem", tmp_path / "new.pem"
    for path in (old, new):
        run("Make a signing key", {}, tmp_path, NEW_KEY=str(path))
    steps = [
        {"SIGNING_KEY_FILE": str(old)},
        {"SIGNING_KEY_FILE": str(old), "SIGNING_KEY_PREVIOUS_FILE": str(new)},
        {"SIGNING_KEY_FILE": str(new), "SIGNING_KEY_PREVIOUS_FILE": str(old)},
        {"SIGNING_KEY_FILE": str(new)},
    ]
    signers = []
    for behind, ahead in itertools.pairwise(steps):  # one sidecar is a step behind the other
        with (
            running_sidecar(tmp_path / "one", **behind) as one,
            running_sidecar(tmp_path / "two", **ahead) as two,
            Api(one) as first,
            Api(two) as second,
        ):
            for issuing in (first, second):
                token = issuing.http.post("/auth/guest-login").json()["access_token"]
                signers.append(jwt.get_unverified_header(token)["kid"])
                for asked in (first, second):
                    published = asked.http.get("/.well-known/jwks.json").json()
                    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(published).keys}
                    claims = jwt.decode(
                        token,
                        keys[signers[-1]],
                        algorithms=["ES256"],
                        audience="jan",
                        options={"verify_aud": True},
                    )
                    assert claims["sub"].startswith("guest_")
    old_kid, new_kid = (SigningKeys(path.read_text()).kid for path in (old, new))
    assert signers == [old_kid, old_kid, old_kid, new_kid, new_kid, new_kid]


@pytest.mark.parametrize("flag", re.findall(r"^\| `(--[a-z-]+)` \|", PAGE, re.MULTILINE))
def test_a_documented_flag_of_the_plugin_server_exists_with_its_default(flag: str) -> None:
    command = [sys.executable, "-m", "jan_media_plugin", "--help"]
    shown = " ".join(subprocess.run(command, capture_output=True, text=True).stdout.split())
    (default,) = re.findall(rf"^\| `{flag}` \| `(.*?)` \|", PAGE, re.MULTILINE)
    (real,) = re.findall(
        rf"{flag} (?:[A-Z_]+|\{{.*?\}}) .*?\(default: (.*?)\)", shown.split("options:")[1]
    )
    assert real.replace(" ", "").removesuffix(".0") == default


def test_the_documented_metrics_are_those_that_a_sidecar_answers(tmp_path: Path) -> None:
    with running_sidecar(tmp_path) as sidecar, Api(sidecar) as api:
        api.http.get("/healthz")
        answered = set(re.findall(r"^# TYPE (\w+)", api.internal.get("/metrics").text, re.M))
    assert documented_metrics() - plugins_metrics() == answered


def test_the_documented_metrics_of_the_plugin_are_those_that_it_has() -> None:
    assert {name for name in documented_metrics() if "_plugin_" in name} == plugins_metrics()


def plugins_metrics() -> set[str]:
    """Without ``process_…``, which prometheus_client adds and documents."""
    text = generate_latest(plugin_registry).decode()
    return set(re.findall(r"^# TYPE (jan_media_\w+)", text, re.MULTILINE))


def documented_metrics() -> set[str]:
    rows = re.findall(r"^\| (`jan_media_.*?`) \|", PAGE, re.MULTILINE)
    return set(re.findall(r"`(jan_media_\w+)", " ".join(rows)))


def test_the_documented_lifecycle_rule_is_accepted_by_s3(ceph: Ceph) -> None:
    (rule,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    bucket, client = ceph.new_bucket(), ceph.client()
    client.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration=json.loads(rule)
    )
    (kept,) = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert kept["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
