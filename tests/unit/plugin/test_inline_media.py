"""Media that a client sends inline are kept once, and a URL goes on in their place."""

import base64
import json
import os
from typing import Any

import pytest

from tests.unit.plugin.bodies import ID
from tests.unit.plugin.conftest import Ask
from tests.unit.plugin.fake_sidecar import FakeSidecar
from tests.unit.plugin.test_access import bearer, chat, error
from tests.unit.plugin.tokens import token

STORE = {"inline": "store", "inline_min_bytes": 1024}


def data_url(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def kept(sidecar: FakeSidecar) -> list[bytes]:
    return [content for content, _ in sidecar.questions("/internal/store")]


def test_inline_media_are_kept_for_the_caller_and_a_url_goes_on(
    ask: Ask, sidecar: FakeSidecar
) -> None:
    content = os.urandom(5000)
    outcome, request = ask(bearer(), chat(data_url(content)), **STORE)
    assert outcome.kind == "passed"
    ((stored, headers),) = sidecar.questions("/internal/store")
    assert stored == content
    assert (headers["x-jan-user-id"], headers["content-type"]) == ("alice", "image/png")
    (media_id,) = sidecar.media
    assert request.body_set == chat(sidecar.media[media_id])
    assert request.shared["jan_media_ids"] == media_id


def test_base64_may_be_in_the_alphabet_of_urls(ask: Ask, sidecar: FakeSidecar) -> None:
    content = b"\xff\xef" * 2500
    data = base64.urlsafe_b64encode(content).decode()
    assert "_" in data
    part = {"inlineData": {"data": data, "mime_type": "image/png"}}
    ask(bearer(), json.dumps({"contents": [{"parts": [part]}]}).encode(), **STORE)
    assert kept(sidecar) == [content]


def test_the_same_bytes_again_ask_nobody(ask: Ask, sidecar: FakeSidecar) -> None:
    body = chat(data_url(os.urandom(5000)))
    first = ask(bearer(), body, **STORE)[1].body_set
    asked = len(sidecar.asked)
    assert ask(bearer(), body, **STORE)[1].body_set == first
    assert len(sidecar.asked) == asked


def test_another_caller_keeps_them_for_himself(ask: Ask, sidecar: FakeSidecar) -> None:
    body = chat(data_url(os.urandom(5000)))
    ask(bearer(), body, **STORE)
    ask(bearer(token(sub="bob")), body, **STORE)
    users = [headers["x-jan-user-id"] for _, headers in sidecar.questions("/internal/store")]
    assert users == ["alice", "bob"]


def test_what_was_deleted_since_is_kept_again(ask: Ask, sidecar: FakeSidecar) -> None:
    body = chat(data_url(os.urandom(5000)))
    sidecar.left = 0  # so that URLs are not remembered
    ask(bearer(), body, **STORE)
    sidecar.media.clear()
    ask(bearer(), body, **STORE)
    assert len(kept(sidecar)) == 2


@pytest.mark.parametrize("changes", [{}, {"inline": "store", "inline_min_bytes": 1_000_000}])
def test_inline_media_pass_where_nobody_asked_to_store_them_or_they_are_small(
    ask: Ask, sidecar: FakeSidecar, changes: dict[str, Any]
) -> None:
    _, request = ask(bearer(), chat(data_url(os.urandom(5000))), **changes)
    assert request.body_set is None
    assert kept(sidecar) == []


def test_a_body_that_ends_in_the_middle_of_a_medium_goes_on_as_it_came(
    ask: Ask, sidecar: FakeSidecar
) -> None:
    cut_off = chat(data_url(os.urandom(5000)))[:4000]
    outcome, request = ask(bearer(), cut_off, **STORE)
    assert (outcome.kind, request.body_set) == ("passed", None)
    assert kept(sidecar) == []


def test_a_caller_who_is_nobody_stores_nothing(ask: Ask, sidecar: FakeSidecar) -> None:
    _, request = ask({}, chat(data_url(os.urandom(5000))), auth="off", **STORE)
    assert request.body_set is None
    assert kept(sidecar) == []


def test_what_may_not_be_kept_goes_on_as_it_came_or_is_refused(
    ask: Ask, sidecar: FakeSidecar
) -> None:
    body = chat(data_url(os.urandom(5000)))
    sidecar.refusal = (415, "unsupported_type")
    outcome, request = ask(bearer(), body, **STORE)
    assert (outcome.kind, request.body_set) == ("passed", None)
    outcome, _ = ask(bearer(), body, inline_refused="reject", **STORE)
    refusal = error(outcome)
    assert (refusal["status"], refusal["code"]) == (415, "unsupported_type")
    assert refusal["param"] == "messages[0].content[1].image_url.url"


def test_base64_that_is_none_is_refused_by_its_place(ask: Ask, sidecar: FakeSidecar) -> None:
    outcome, _ = ask(bearer(), chat("data:image/png;base64," + "@" * 5000), **STORE)
    assert error(outcome)["code"] == "invalid_base64"
    assert error(outcome)["param"] == "messages[0].content[1].image_url.url"


def test_without_the_sidecar_the_body_goes_on_unless_it_has_to_fit(
    ask: Ask, sidecar: FakeSidecar
) -> None:
    body = chat(data_url(os.urandom(5000)))
    ask(bearer())
    sidecar.broken = True
    outcome, request = ask(bearer(), body, **STORE)
    assert (outcome.kind, request.body_set) == ("passed", None)
    outcome, _ = ask(bearer(), body, fit={"preset": "anthropic"}, **STORE)
    assert error(outcome)["status"] == 503


def test_without_the_sidecar_what_was_kept_before_goes_on_as_it_came(
    ask: Ask, sidecar: FakeSidecar
) -> None:
    body = chat(data_url(os.urandom(5000)))
    sidecar.left = 0  # so that URLs are not remembered
    ask(bearer(), body, **STORE)
    sidecar.broken = True
    outcome, request = ask(bearer(), body, **STORE)
    assert (outcome.kind, request.body_set) == ("passed", None)


def test_ids_and_inline_media_in_one_request(ask: Ask, sidecar: FakeSidecar) -> None:
    sidecar.media[ID] = "https://media.example/id"
    content = os.urandom(3000)
    _, request = ask(bearer(), chat(ID, data_url(content), ID), **STORE)
    urls = [part["image_url"]["url"] for part in parts(request.body_set) if "image_url" in part]
    assert urls[0] == urls[2] == "https://media.example/id"
    assert urls[1] in sidecar.media.values()


def test_ten_mebibytes_of_images_reach_the_model_as_a_few_kilobytes(
    ask: Ask, sidecar: FakeSidecar
) -> None:
    contents = [os.urandom(1 << 20) for _ in range(10)]
    body = chat(*map(data_url, contents))
    _, request = ask(bearer(), body, **STORE)
    assert request.body_set is not None
    assert len(request.body_set) < len(body) / 100
    assert sorted(kept(sidecar)) == sorted(contents)


def test_what_fit_asks_for_is_asked_of_the_sidecar(ask: Ask, sidecar: FakeSidecar) -> None:
    sidecar.media[ID] = "u"
    ask(bearer(), chat(ID), fit={"preset": "anthropic", "strip_metadata": True})
    ask(bearer(), chat(*[ID] * 21), fit={"preset": "anthropic", "strip_metadata": True})
    few, many = (question["fit"] for question in sidecar.questions("/internal/resolve"))
    assert (few["max_edge"], many["max_edge"]) == (8000, 2000)
    assert few["strip_metadata"] is True
    assert "image/jpeg" in few["types"]


def parts(body: bytes | None) -> list[dict[str, Any]]:
    assert body is not None
    content: list[dict[str, Any]] = json.loads(body)["messages"][0]["content"]
    return content
