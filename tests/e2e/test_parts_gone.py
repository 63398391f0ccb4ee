"""If a part behind the gateway is down or slow, clients soon get a clear answer."""

import time
from collections.abc import Iterator

import httpx
import pytest

from demo.addresses import url
from demo.images import drawn
from demo.stack import Stack
from tests.e2e.conftest import client_for, guest_token, start_stack
from tests.e2e.slow_host import SlowHost
from tests.support.waiting import wait_until

JSON_CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that waits one second for remote URLs."""
    folder = tmp_path_factory.mktemp("impatient")
    with start_stack(folder, MEDIA_REMOTE_FETCH_TIMEOUT="1s") as stack:
        yield stack


def chat_with(media_id: str) -> dict[str, object]:
    """A chat request with one image."""
    part = {"type": "image_url", "image_url": {"url": media_id}}
    return {"model": "m", "messages": [{"role": "user", "content": [part]}]}


def uploaded(client: httpx.Client, name: str) -> str:
    """The id of an image sent as a form."""
    answer = client.post("/media/v1/media", files={"file": drawn(name)})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def test_a_remote_url_that_takes_too_long_is_a_504(impatient: Stack) -> None:
    with SlowHost() as host, client_for(impatient.base_url, guest_token(impatient.base_url)) as me:
        started = time.monotonic()
        source = {"type": "remote_url", "url": f"{host.base_url}/a.png"}
        answer = me.post("/media/v1/media", json={"source": source})
    assert answer.status_code == 504, answer.text
    assert answer.json()["error"]["code"] == "remote_fetch_timeout"
    assert time.monotonic() - started < 5


def test_without_the_sidecar_known_urls_still_work_and_others_are_a_503(
    own_stack: Stack,
) -> None:
    with client_for(own_stack.base_url, guest_token(own_stack.base_url)) as me:
        known, other = uploaded(me, "known.png"), uploaded(me, "other.png")
        assert me.post(JSON_CHAT, json=chat_with(known)).status_code == 200
        sidecar = next(part for part in own_stack.parts if part.name == "sidecar")
        sidecar.stop()

        # The token and the URL are remembered; only the model cannot fetch from a dead store.
        remembered = me.post(JSON_CHAT, json=chat_with(known))
        assert remembered.json()["error"]["code"] == "image_not_readable"

        refused = me.post(JSON_CHAT, json=chat_with(other))
        assert refused.status_code == 503, refused.text
        assert refused.json()["error"]["type"] == "api_error"
        assert int(refused.headers["Retry-After"]) > 0

        media = me.get("/media/v1/media", headers={"Accept": "application/json"})
        assert media.status_code in (502, 503)
        assert set(media.json()["error"]) == {"type", "code", "message", "param"}

        sidecar.start()
        sidecar.wait_until_ready()
        wait_until(lambda: me.post(JSON_CHAT, json=chat_with(other)).status_code == 200)


def test_without_the_model_the_answer_is_a_502(own_stack: Stack) -> None:
    llm = next(part for part in own_stack.parts if part.name == "demo LLM")
    llm.stop()
    try:
        with client_for(own_stack.base_url, guest_token(own_stack.base_url)) as me:
            answer = me.post(JSON_CHAT, json={"messages": []})
        assert answer.status_code == 502
        assert set(answer.json()["error"]) == {"type", "code", "message", "param"}
    finally:
        llm.start()
        llm.wait_until_ready()


def test_logs_hold_no_token_no_secret_and_no_signature(own_stack: Stack) -> None:
    token = guest_token(own_stack.base_url)
    with client_for(own_stack.base_url, token) as me:
        media_id = uploaded(me, "quiet.png")
        signed = me.get(f"/media/v1/media/{media_id}/presign").json()["url"]
        assert httpx.get(signed, trust_env=False).status_code == 200
        assert me.post(JSON_CHAT, json=chat_with(media_id)).status_code == 200
        me.get("/media/v1/media", headers={"Authorization": f"Bearer {token}x"})
        received = httpx.get(url(own_stack.ports.llm, "/received"), trust_env=False).text
    signature = signed.rpartition("signature=")[2].partition("&")[0]
    secret = own_stack.gateway.environment["JAN_GATEWAY_SECRET"]
    logged = "".join(
        log.read_text("utf-8", "replace")
        for part in own_stack.parts
        for log in (part.log, *part.extra_logs)
        if log.exists()
    )
    assert logged
    assert signature
    for hidden in (token, token.rpartition(".")[2], signature, secret):
        assert hidden not in logged
    assert secret not in received
