"""What the commands of ``jan-media`` print for scripts, and for people."""

import io
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import jan_media
import pytest
from jan_media.library.direct_upload import prepare
from jan_media.library.library import now_ms, upload_key
from jan_media.library.spool import MEMORY
from jan_media.settings import load_settings
from jan_media.sidecar import open_library

from tests.contract.api.client import Api
from tests.support.pictures import picture
from tests.support.sidecar import environment, run_jan_media, running_sidecar


def as_json(*arguments: str, data_dir: Path, **settings: str) -> Any:
    """Run a command that succeeds, and return the document that it prints."""
    done = run_jan_media(*arguments, "--json", data_dir=data_dir, **settings)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_tells_its_version(tmp_path: Path) -> None:
    done = run_jan_media("--version", data_dir=tmp_path)
    assert done.stdout == f"jan-media {jan_media.__version__}\n"


def test_keys_are_a_table_for_people_and_json_for_scripts(tmp_path: Path) -> None:
    made = as_json(
        *("keys", "create", "--owner", "ann", "--group", "vip", "--expires-in", "1d"),
        data_dir=tmp_path,
    )
    assert made["key"].startswith("sk_")
    other = run_jan_media("keys", "create", "--owner", "bob", data_dir=tmp_path).stdout.strip()
    listed = as_json("keys", "list", data_dir=tmp_path)
    assert [key["owner"] for key in listed] == ["ann", "bob"]
    assert listed[0] == {name: value for name, value in made.items() if name != "key"}
    of_key = as_json("keys", "list", "--prefix", made["key"], data_dir=tmp_path)
    assert of_key == listed[:1]  # its beginning is all that is kept
    run_jan_media("keys", "revoke", listed[1]["id"], data_dir=tmp_path)
    heads, ann, bob = run_jan_media("keys", "list", data_dir=tmp_path).stdout.splitlines()
    assert heads.split() == ["ID", "BEGINS", "OWNER", "GROUPS", "STATE", "EXPIRES"]
    assert ann.split()[2:5] == ["ann", "vip", "valid"]
    assert bob.split()[2:] == ["bob", "-", "revoked", "never"]
    assert other not in bob


def test_a_sweep_says_in_numbers_what_would_go_and_what_went(tmp_path: Path) -> None:
    with running_sidecar(tmp_path) as sidecar, Api(sidecar) as api:
        api.delete(api.upload(picture())["id"])
        options = ("sweep", "--grace", "0s")
        would = as_json(*options, "--dry-run", data_dir=tmp_path)
        went = as_json(*options, data_dir=tmp_path)
    assert would == went | {"dry_run": True}
    assert went["dry_run"] is False
    assert set(went) == {
        *("dry_run", "expired_media", "stale_uploads"),
        *("unreferenced_contents", "deleted_objects", "ended_claims"),
    }


def test_a_sweep_checks_large_direct_uploads_where_no_sidecar_has_served(tmp_path: Path) -> None:
    settings = load_settings(environment(tmp_path))
    assert as_json("keys", "list", data_dir=tmp_path) == []  # makes the catalog
    yesterday = now_ms() - 24 * 60 * 60 * 1000
    with closing(open_library(settings)) as library:
        promised = prepare(replace(library, clock=lambda: yesterday), "image/png", "ann")
        large = io.BytesIO(picture() + bytes(MEMORY))
        library.storage.put(upload_key(promised.media.id), large, mime="image/png")
    assert not library.spool_dir.exists()
    assert as_json("sweep", data_dir=tmp_path)["dry_run"] is False


def test_an_option_that_cannot_be_read_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    for command in (("sweep", "--grace"), ("keys", "create", "--owner", "ann", "--expires-in")):
        done = run_jan_media(*command, "soon", data_dir=tmp_path)
        assert done.returncode == 1
        assert "30d" in done.stderr or "soon" in done.stderr
    assert not (tmp_path / "catalog.db").exists()


def test_the_doctor_says_what_it_found_as_json_too(tmp_path: Path) -> None:
    done = run_jan_media("doctor", "--json", data_dir=tmp_path, GATEWAY_SECRET="short")
    found = json.loads(done.stdout)
    assert {frozenset(each) for each in found} == {frozenset(("subject", "verdict", "message"))}
    assert done.returncode == any(each["verdict"] == "problem" for each in found)


def test_a_move_ends_with_numbers(tmp_path: Path) -> None:
    with running_sidecar(tmp_path / "old") as sidecar, Api(sidecar) as api:
        data = picture()
        api.upload(data)
    moved = as_json("migrate", "--from-storage", str(tmp_path / "old"), data_dir=tmp_path / "new")
    assert moved == {
        "ids": 1,
        "new_or_changed": 1,
        "copied_objects": 1,
        "copied_bytes": len(data),
        "removed_claims": 0,
        "damaged": 0,
        "damaged_ids": [],
    }


@pytest.mark.parametrize("command", ["sweep", "verify", "doctor", "migrate", "serve"])
def test_every_command_explains_itself(command: str, tmp_path: Path) -> None:
    assert "Usage:" in run_jan_media(command, "--help", data_dir=tmp_path).stdout
