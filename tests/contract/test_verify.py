"""``jan-media verify`` finds ids without their bytes, on both storages and catalogs."""

import json
from pathlib import Path

import pytest

from tests.contract.api.client import Api
from tests.contract.test_operations_page import Installation, on_s3
from tests.support.ceph import Ceph
from tests.support.pictures import picture
from tests.support.sidecar import run_jan_media, running_sidecar


@pytest.fixture(params=["local and SQLite", "S3 and PostgreSQL"])
def installed(request: pytest.FixtureRequest, ceph: Ceph, tmp_path: Path) -> Installation:
    settings: dict[str, str] = {}
    if request.param.startswith("S3"):
        settings = on_s3(ceph) | {"DATABASE_URL": request.getfixturevalue("postgres_url")}
    return Installation(ceph, settings, tmp_path)


def overwrite(installed: Installation, old: bytes, new: bytes | None) -> None:
    """Replace the one stored object with these bytes, or remove it, behind everybody's back."""
    if installed.on_s3:
        bucket, client = installed.settings["S3_BUCKET"], installed.ceph.client()
        for each in client.list_objects_v2(Bucket=bucket)["Contents"]:
            if client.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() == old:
                client.delete_object(Bucket=bucket, Key=each["Key"])
                if new is not None:
                    client.put_object(Bucket=bucket, Key=each["Key"], Body=new)
        return
    for path in (installed.data_dir / "objects").rglob("content,*"):
        if path.read_bytes() == old:
            path.unlink()
            if new is not None:
                path.write_bytes(new)


def test_lost_and_damaged_bytes_are_found_and_can_be_uploaded_anew(
    installed: Installation,
) -> None:
    whole, gone, cut, changed = (picture() for _ in range(4))
    data_dir, settings = installed.data_dir, installed.settings

    def verify(*options: str) -> tuple[int, list[str]]:
        done = run_jan_media("verify", *options, data_dir=data_dir, **settings)
        assert "Traceback" not in done.stderr
        found = sorted(done.stdout.split())
        assert f"without their bytes: {len(found)}" in done.stderr
        return done.returncode, found

    with running_sidecar(data_dir, **settings) as sidecar, Api(sidecar) as api:
        ids = [api.upload(data)["id"] for data in (whole, gone, cut, changed)]
        api.prepare()
        assert verify("--hash") == (0, [])
        overwrite(installed, gone, None)
        overwrite(installed, cut, cut[:-1])
        overwrite(installed, changed, changed[:-1] + b"?")
        assert verify() == (1, ids[1:3])
        assert verify("--hash") == (1, ids[1:])
        as_json = run_jan_media("verify", "--hash", "--json", data_dir=data_dir, **settings)
        told = json.loads(as_json.stdout)
        assert (told["looked_at"], sorted(told["lost"]), told["removed"]) == (4, ids[1:], False)
        assert "looked at 4 ids" in as_json.stderr
        assert verify("--hash", "--give-up") == (0, ids[1:])
        assert verify("--hash") == (0, [])
        assert [api.get(f"/v1/media/{id}").status_code for id in ids] == [200, 404, 404, 404]
        again = api.upload(gone)
        assert again["deduped"] is False
        assert api.get(f"/v1/media/{again['id']}/content").content == gone


def test_a_lost_rendition_is_found_and_made_anew(tmp_path: Path) -> None:
    fit = {"types": ["image/jpeg"], "max_edge": 50}
    data = picture(size=(200, 100))
    with running_sidecar(tmp_path) as sidecar, Api(sidecar) as api:
        id = api.upload(data)["id"]
        _, answer = api.ask("/internal/resolve", {"names": [id], "fit": fit})
        made = api.http.get(answer["media"][id]["url"]).content
        assert run_jan_media("verify", data_dir=tmp_path).returncode == 0
        (path,) = [
            each for each in (tmp_path / "objects").rglob("content,*") if each.read_bytes() == made
        ]
        path.unlink()

        found = run_jan_media("verify", data_dir=tmp_path)
        assert (found.returncode, found.stdout) == (1, "")
        assert "without their bytes: 0 and 1 renditions" in found.stderr
        assert run_jan_media("verify", "--give-up", data_dir=tmp_path).returncode == 0
        assert run_jan_media("verify", data_dir=tmp_path).returncode == 0
        _, answer = api.ask("/internal/resolve", {"names": [id], "fit": fit})
        assert api.http.get(answer["media"][id]["url"]).content == made
