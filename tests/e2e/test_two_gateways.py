"""Two gateways and two sidecars on one PostgreSQL and one S3: a client may ask either."""

import base64
import hashlib
from collections.abc import Iterator

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from demo.images import drawn
from demo.stack import Stack
from tests.e2e.conftest import client_for, guest_token, start_stack
from tests.e2e.persistent_client import uploading
from tests.support.ceph import Ceph
from tests.support.postgres import PostgresServer

Pair = tuple[Stack, Stack]


@pytest.fixture(scope="module")
def pair(
    ceph: Ceph, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """Two stacks that share storage, catalog and signing key, and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    shared = {
        **ceph.media_settings(ceph.new_bucket()),
        "MEDIA_DATABASE_URL": postgres_server.new_database(),
        "MEDIA_SIGNING_KEY": key.decode(),
        "MEDIA_ISSUER": "http://jan.test/llm",
    }
    with (
        start_stack(tmp_path_factory.mktemp("first"), **shared) as first,
        start_stack(tmp_path_factory.mktemp("second"), **shared) as second,
    ):
        yield first, second


@pytest.fixture
def clients(pair: Pair) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """One guest, with a token from the first gateway, at both gateways."""
    first, second = pair
    token = guest_token(first.base_url)
    with client_for(first.base_url, token) as one, client_for(second.base_url, token) as other:
        yield one, other


def test_a_token_of_either_gateway_is_good_at_both(pair: Pair) -> None:
    for issuing in pair:
        token = guest_token(issuing.base_url)
        for asked in pair:
            with client_for(asked.base_url, token) as client:
                assert client.get("/media/v1/media").status_code == 200


def answer_about(client: httpx.Client, media_id: str) -> str:
    """What the model says about an image."""
    part = {"type": "image_url", "image_url": {"url": media_id}}
    body = {"model": "m", "messages": [{"role": "user", "content": [part]}]}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def names(content: bytes) -> str:
    """The words by which the model tells these bytes."""
    return f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}"


def test_an_upload_through_one_is_resolved_through_the_other_at_once(
    clients: tuple[httpx.Client, httpx.Client],
) -> None:
    one, other = clients
    content = drawn("shared.png")
    media_id = one.post("/media/v1/media", files={"file": content}).json()["id"]
    assert names(content) in answer_about(other, media_id)


def test_the_same_content_is_one_id_on_both(
    clients: tuple[httpx.Client, httpx.Client],
) -> None:
    one, other = clients
    data_url = "data:image/png;base64," + base64.b64encode(drawn("same.png")).decode()
    request = {"source": {"type": "data_url", "data_url": data_url}}
    first, second = (each.post("/media/v1/media", json=request).json() for each in (one, other))
    assert (first["id"], first["deduped"], second["deduped"]) == (second["id"], False, True)


def test_a_direct_upload_to_s3_prepared_by_one_is_complete_for_the_other(
    clients: tuple[httpx.Client, httpx.Client], ceph: Ceph
) -> None:
    one, other = clients
    content = drawn("direct.jpg")
    request = {"content_type": "image/jpeg", "user_id": "u"}
    prepared = one.post("/media/v1/media/prepare-upload", json=request).json()
    form = prepared["presigned_post"]
    assert form["url"].startswith(ceph.endpoint)
    files = {"file": ("direct.jpg", content)}
    sent = httpx.post(form["url"], data=form["fields"], files=files, trust_env=False)
    assert sent.status_code == 204, sent.text
    assert names(content) in answer_about(other, prepared["jan_id"])


def test_a_download_url_leads_to_s3_and_knows_ranges(
    clients: tuple[httpx.Client, httpx.Client], ceph: Ceph
) -> None:
    one, other = clients
    content = drawn("download.png")
    media_id = one.post("/media/v1/media", files={"file": content}).json()["id"]
    url = other.get(f"/media/v1/media/{media_id}/presign").json()["url"]
    assert url.startswith(ceph.endpoint)
    part = httpx.get(url, headers={"Range": "bytes=5-14"}, trust_env=False)
    assert (part.status_code, part.content) == (206, content[5:15])
    assert other.get(f"/media/v1/media/{media_id}/content").content == content


def test_what_an_owner_deletes_on_one_is_gone_on_the_other(
    clients: tuple[httpx.Client, httpx.Client],
) -> None:
    one, other = clients
    media_id = one.post("/media/v1/media", files={"file": drawn("gone.png")}).json()["id"]
    assert other.delete(f"/media/v1/media/{media_id}").status_code in (200, 204)
    assert one.get(f"/media/v1/media/{media_id}").status_code == 404


def test_when_one_sidecar_is_killed_the_other_goes_on(
    pair: Pair, clients: tuple[httpx.Client, httpx.Client]
) -> None:
    one, other = clients
    content = drawn("survivor.png")
    media_id = one.post("/media/v1/media", files={"file": content}).json()["id"]
    sidecar = next(part for part in pair[0].parts if part.name == "sidecar")
    assert sidecar.process is not None
    sidecar.process.kill()
    sidecar.stop()
    assert names(content) in answer_about(other, media_id)
    assert one.get(f"/media/v1/media/{media_id}").status_code in (502, 503)
    sidecar.start()
    sidecar.wait_until_ready()
    assert one.get(f"/media/v1/media/{media_id}").status_code == 200


def test_killing_either_sidecar_under_load_costs_only_retried_requests(
    pair: Pair, clients: tuple[httpx.Client, httpx.Client]
) -> None:
    token = clients[0].headers["Authorization"].removeprefix("Bearer ")
    with uploading(token, *(stack.base_url for stack in pair)) as uploads:
        for stack in pair:
            uploads.wait_for_more(10)
            sidecar = next(part for part in stack.parts if part.name == "sidecar")
            assert sidecar.process is not None
            sidecar.process.kill()
            uploads.wait_for_refusals(1)
            uploads.wait_for_more(10)  # through the other
            sidecar.stop()
            sidecar.start()
            sidecar.wait_until_ready()
        uploads.wait_for_more(10)
    for client in clients:
        uploads.assert_all_there(client)
