"""Media of every kind in a sidecar, and the check that all of it is still there."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.contract.api.client import Api
from tests.support.pictures import picture
from tests.support.sidecar import RunningSidecar, run_jan_media


@dataclass
class MediaSet:
    """What was put in, by id."""

    sha256: dict[str, str] = field(default_factory=dict)  # of ready ids
    owner: dict[str, str] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    uploaded: dict[str, str] = field(default_factory=dict)  # pending, with bytes of this hash
    rejected: list[str] = field(default_factory=list)
    api_key: str = ""
    revoked_key: str = ""

    def put(self, api: Api, user: str, data: bytes) -> str:
        """Upload for a user; the id."""
        id = str(api.upload(data, user)["id"])
        self.sha256[id] = hashlib.sha256(data).hexdigest()
        self.owner[id] = user
        return id


def filled(sidecar: RunningSidecar, *, uploads: int, **settings: str) -> MediaSet:
    """Put in uploads of three owners, shared content, direct uploads in each state, API keys."""
    made = MediaSet()
    with Api(sidecar) as api:
        shared = picture()
        for number in range(uploads):
            made.put(api, f"user-{number % 3}", picture())
        for user in ("user-0", "user-1"):
            made.put(api, user, shared)
        twin = api.prepare()
        send(twin, shared)
        assert api.get(f"/v1/media/{twin['id']}").status_code == 200
        made.sha256[twin["id"]] = hashlib.sha256(shared).hexdigest()
        made.pending.append(api.prepare()["id"])
        waiting, waiting_data = api.prepare(), picture()
        send(waiting, waiting_data)
        made.uploaded[waiting["id"]] = hashlib.sha256(waiting_data).hexdigest()
        wrong = api.prepare()
        send(wrong, b"no image at all")
        assert api.get(f"/v1/media/{wrong['id']}").status_code == 400
        made.rejected.append(wrong["id"])
    made.api_key, made.revoked_key = (
        run_jan_media(
            "keys", "create", "--owner", "ann", data_dir=sidecar.data_dir, **settings
        ).stdout.strip()
        for _ in range(2)
    )
    keys = run_jan_media("keys", "list", data_dir=sidecar.data_dir, **settings).stdout
    (handle,) = [line.split()[0] for line in keys.splitlines() if made.revoked_key[:11] in line]
    revoked = run_jan_media("keys", "revoke", handle, data_dir=sidecar.data_dir, **settings)
    assert revoked.returncode == 0
    return made


def send(prepared: dict[str, Any], data: bytes) -> None:
    """Use the form of a prepared upload."""
    form = prepared["presigned_post"]
    answer = httpx.post(form["url"], data=form["fields"], files={"file": data}, trust_env=False)
    assert answer.status_code == 204, answer.text


def assert_all_there(made: MediaSet, sidecar: RunningSidecar) -> None:
    """Every id stands for the bytes it stood for, for the same owners, and keys work as before."""
    with Api(sidecar) as api, httpx.Client(trust_env=False) as anyone:
        _, answer = api.ask("/internal/resolve", {"names": list(made.sha256)})
        assert answer["errors"] == {}
        for id, sha256 in made.sha256.items():
            fetched = anyone.get(answer["media"][id]["url"])
            assert hashlib.sha256(fetched.content).hexdigest() == sha256
        for id in made.pending:
            assert api.get(f"/v1/media/{id}").status_code == 409
        for id, sha256 in made.uploaded.items():
            content = api.get(f"/v1/media/{id}/content").content
            assert hashlib.sha256(content).hexdigest() == sha256
        for id in made.rejected:
            assert api.get(f"/v1/media/{id}").json()["error"]["code"] == "invalid_media"
        for user in set(made.owner.values()):
            mine = {id for id, owner in made.owner.items() if owner == user}
            assert mine <= set(listed(api, user))
        for key, valid in ((made.api_key, True), (made.revoked_key, False)):
            assert api.ask("/internal/keys/verify", {"key": key})[1]["valid"] is valid


def listed(api: Api, user: str) -> list[str]:
    """All ids that the api lists for a user."""
    ids: list[str] = []
    after: str | None = ""
    while after is not None:
        query = {"limit": "100"} | ({"after": after} if after else {})
        page = api.http.get("/v1/media", params=query, headers=api.as_user(user)).json()
        ids += [each["id"] for each in page["media"]]
        after = page["next"]
    return ids
