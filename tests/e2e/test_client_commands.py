"""``jan-media upload``, ``ls``, ``get``, ``rm`` and ``chat``, as a new user runs them."""

import contextlib
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jan_media.commands.app import app
from PIL import Image
from typer.testing import CliRunner

from demo.addresses import HOST, free_ports
from tests.e2e.conftest import guest_token

ID = re.compile(r"jan_[0-9a-z]{26}")


@dataclass(frozen=True)
class Person:
    """Somebody with a shell, a folder of their own, and files that no one has uploaded yet."""

    folder: Path
    gateway_url: str
    token: str = ""

    def run(self, *arguments: str, stdin: bytes = b"", **variables: str) -> "Done":
        """Run a command of ``jan-media`` to its end, in this process."""
        environment = {
            **{name: None for name in os.environ if "proxy" in name.lower()},
            "XDG_STATE_HOME": str(self.folder / "state"),
            "JAN_MEDIA_GATEWAY_URL": self.gateway_url,
            "JAN_MEDIA_TOKEN": self.token,
            **variables,
        }
        with contextlib.chdir(self.folder):
            done = CliRunner().invoke(app, arguments, input=stdin, env=environment)
        if not isinstance(done.exception, SystemExit | None):
            raise done.exception
        return Done(done.exit_code, done.stdout_bytes, done.stderr)

    def picture(self, name: str, size: int = 64) -> bytes:
        """Put a new picture into the folder."""
        path = self.folder / name
        Image.frombytes("RGB", (size, size), os.urandom(size * size * 3)).save(path)
        return path.read_bytes()


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """What it printed."""
        assert self.status == 0, self.stderr
        return self.stdout.decode()

    @property
    def json(self) -> Any:
        """The document that it printed."""
        return json.loads(self.text)


@pytest.fixture
def ann(gateway_url: str, tmp_path: Path) -> Person:
    return Person(tmp_path, gateway_url, guest_token(gateway_url))


def test_a_picture_goes_up_is_listed_comes_back_and_is_deleted(ann: Person) -> None:
    data = ann.picture("photo.png")
    heads, row = ann.run("upload", "photo.png").text.splitlines()
    assert heads.split() == ["ID", "TYPE", "BYTES", "STATE", "FILE"]
    media_id, *rest = row.split()
    assert rest == ["image/png", str(len(data)), "new", "photo.png"]
    assert ann.run("upload", "photo.png").text.split()[-2:] == ["known", "photo.png"]

    heads, row = ann.run("ls").text.splitlines()
    assert heads.split() == ["ID", "TYPE", "BYTES", "CREATED"]
    assert row.split()[:3] == [media_id, "image/png", str(len(data))]

    ann.run("get", media_id.upper())
    assert (ann.folder / f"{media_id}.png").read_bytes() == data
    assert ann.run("get", media_id, "-o", "-").stdout == data

    assert ann.run("rm", media_id).text == f"removed {media_id}\n"
    assert ann.run("ls", "--json").json == []
    gone = ann.run("get", media_id)
    assert gone.status == 1
    assert "HTTP 404" in gone.stderr


def test_scripts_get_json_or_ids_alone(ann: Person) -> None:
    for name in ("a.png", "b.png"):
        ann.picture(name)
    sent = ann.run("upload", "--json", "a.png", "b.png").json
    assert [each["file"] for each in sent] == ["a.png", "b.png"]
    ids = [each["id"] for each in sent]
    assert ann.run("upload", "-q", "a.png", "b.png").text.split() == ids
    assert ann.run("ls", "-q").text.split() == ids[::-1]
    assert [each["id"] for each in ann.run("ls", "--json").json] == ids[::-1]
    newest = ann.run("ls", "-q", "--limit", "1")
    assert newest.text.split() == ids[1:]
    assert "more than 1" in newest.stderr


def test_one_file_that_is_refused_does_not_keep_the_others_back(ann: Person) -> None:
    (ann.folder / "notes.txt").write_text("no picture")
    ann.picture("photo.png")
    done = ann.run("upload", "-q", "notes.txt", "missing.png", "photo.png")
    assert done.status == 1
    assert len(ID.findall(done.stdout.decode())) == 1
    assert re.search(r"notes\.txt: .*unsupported_media_type.*HTTP 415, request \w+", done.stderr)
    assert "missing.png: No such file" in done.stderr


def test_a_large_file_goes_straight_to_the_storage(ann: Person) -> None:
    data = ann.picture("large.png", 1800)
    assert len(data) > 8 * 1024 * 1024
    (sent,) = ann.run("upload", "--json", "large.png").json
    assert sent["bytes"] == len(data)
    assert "created_at" in sent  # the answer of complete; that of an upload has no such field
    assert ann.run("upload", "large.png").text.split()[-2:] == ["known", "large.png"]
    got = ann.run("get", sent["id"], "-o", "-").stdout
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()


def test_what_is_there_is_not_overwritten_unasked(ann: Person) -> None:
    data = ann.picture("photo.png")
    media_id = ann.run("upload", "-q", "photo.png").text.strip()
    (ann.folder / "mine.png").write_bytes(b"mine")
    refused = ann.run("get", media_id, "-o", "mine.png")
    assert refused.status == 1
    assert "--force" in refused.stderr
    assert (ann.folder / "mine.png").read_bytes() == b"mine"
    assert ann.run("get", media_id, "-o", "mine.png", "--force").status == 0
    assert (ann.folder / "mine.png").read_bytes() == data
    assert sorted(path.name for path in ann.folder.glob(".*")) == []


def test_a_chat_about_a_file_and_an_id_says_what_the_model_saw(ann: Person) -> None:
    first, second = ann.picture("first.png"), ann.picture("second.png")
    media_id = ann.run("upload", "-q", "first.png").text.strip()
    done = ann.run("chat", "What is this?", "--image", media_id, "--image", "second.png")
    for data in (first, second):
        assert hashlib.sha256(data).hexdigest() in done.text
    assert "model jan-v2-30b" in done.stderr
    assert ID.search(done.stderr), "a file's id is told, to be used again"
    other = ann.run("chat", "-", "--model", "jan-v2-8b", stdin=b"Hello")
    assert "model jan-v2-8b" in other.stderr
    assert other.text.strip()


def test_an_image_that_nobody_knows_is_named(ann: Person) -> None:
    done = ann.run("chat", "What?", "--image", "jan_" + "0" * 26)
    assert done.status == 1
    assert "media_not_found" in done.stderr


def test_without_a_token_one_is_the_same_guest_until_the_token_ends(
    gateway_url: str, tmp_path: Path
) -> None:
    guest = Person(tmp_path, gateway_url)
    guest.picture("photo.png")
    first = guest.run("upload", "-q", "photo.png")
    assert "signed in as a new guest" in first.stderr
    again = guest.run("ls", "-q")
    assert again.text == first.text
    assert "signed in" not in again.stderr
    kept = tmp_path / "state" / "jan-media" / "guests.json"
    assert kept.stat().st_mode & 0o077 == 0
    kept.write_text(json.dumps({gateway_url: {"token": "e.y.J", "until": 10**11}}))
    assert "signed in as a new guest" in guest.run("ls", "-q").stderr
    kept.write_text("[broken")
    assert guest.run("ls", "-q").text == ""


def test_a_token_that_is_none_says_how_to_give_one(ann: Person) -> None:
    done = ann.run("ls", JAN_MEDIA_TOKEN="nonsense")
    assert done.status == 1
    assert "HTTP 401" in done.stderr
    assert "JAN_MEDIA_TOKEN" in done.stderr


def test_an_address_where_no_gateway_answers_says_how_to_name_one(ann: Person) -> None:
    url = f"http://{HOST}:{free_ports().gateway}"
    done = ann.run("ls", "--gateway", url)
    assert done.status == 1
    assert url in done.stderr
    assert "JAN_MEDIA_GATEWAY_URL" in done.stderr


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", "http://[::1"])
def test_an_address_that_is_none_shows_how_to_write_it(ann: Person, url: str) -> None:
    done = ann.run("ls", "--gateway", url)
    assert done.status == 1
    assert "http://localhost:8000" in done.stderr


def test_the_address_may_be_the_one_that_sdks_have(ann: Person) -> None:
    assert ann.run("ls", "--json", "--gateway", f"{ann.gateway_url}/v1/").json == []


def test_what_is_no_id_is_said_so_before_anything_is_asked(ann: Person) -> None:
    for command in ("get", "rm"):
        done = ann.run(command, "../../etc/passwd")
        assert done.status == 1
        assert "no media id" in done.stderr
