"""A body that holds an id is understood in any spelling, or refused."""

import gzip
import zlib
from collections.abc import Callable

import pytest
import zstandard

from tests.unit.plugin.bodies import ID
from tests.unit.plugin.conftest import Ask
from tests.unit.plugin.fake_sidecar import FakeSidecar
from tests.unit.plugin.test_access import bearer, chat, error

URL = "https://media.example/x"
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
    "identity": bytes,
    "gzip, identity": gzip.compress,
    "deflate, gzip": lambda body: gzip.compress(zlib.compress(body)),
}


def bare_deflate(body: bytes) -> bytes:
    squeezed = zlib.compressobj(wbits=-15)
    return squeezed.compress(body) + squeezed.flush()


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_body_is_decoded_and_resolved(
    ask: Ask, sidecar: FakeSidecar, coding: str
) -> None:
    sidecar.media[ID] = URL
    headers = {**bearer(), "content-type": "application/json", "content-encoding": coding}
    outcome, request = ask(headers, CODINGS[coding](chat(ID)))
    assert outcome.kind == "passed"
    assert request.body_set == chat(URL)
    if coding != "identity":
        assert request.headers_set["Content-Encoding"] == []


def test_deflate_without_its_head_is_decoded_too(ask: Ask, sidecar: FakeSidecar) -> None:
    sidecar.media[ID] = URL
    _, request = ask({**bearer(), "content-encoding": "deflate"}, bare_deflate(chat(ID)))
    assert request.body_set == chat(URL)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_body_compressed_in_thousands_of_parts_is_refused(ask: Ask, coding: str) -> None:
    outcome, _ = ask({**bearer(), "content-encoding": coding}, CODINGS[coding](b"") * 5000)
    assert error(outcome)["status"] == 413


def test_gzip_may_have_several_members_and_zeros_behind_them(
    ask: Ask, sidecar: FakeSidecar
) -> None:
    sidecar.media[ID] = URL
    body = gzip.compress(chat(ID)[:50]) + bytes(3) + gzip.compress(chat(ID)[50:]) + bytes(2000)
    _, request = ask({**bearer(), "content-encoding": "gzip"}, body)
    assert request.body_set == chat(URL)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_a_compressed_body_without_an_id_goes_on_as_it_came(ask: Ask, coding: str) -> None:
    outcome, request = ask({**bearer(), "content-encoding": coding}, CODINGS[coding](chat()))
    assert outcome.kind == "passed"
    assert request.body_set is None


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd", "zstd, zstd"])
def test_what_unpacks_beyond_the_limit_is_refused(ask: Ask, coding: str) -> None:
    bomb = bytes(50_000_000)
    for each in coding.split(", "):
        bomb = CODINGS[each](bomb)
    outcome, _ = ask({**bearer(), "content-encoding": coding}, bomb)
    assert (error(outcome)["status"], error(outcome)["code"]) == (413, "max_size_exceeded")


@pytest.mark.parametrize("coding", ["br", "compress", "gzip, br", ", ".join(["gzip"] * 9)])
def test_another_coding_is_refused_with_those_that_are_taken(ask: Ask, coding: str) -> None:
    outcome, _ = ask({**bearer(), "content-encoding": coding}, chat(ID))
    assert error(outcome)["status"] == 415
    assert outcome.headers["Accept-Encoding"] == "gzip, deflate, zstd"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b"x" + b, lambda b: b[:2]])
def test_a_body_that_is_not_as_it_says_is_refused(
    ask: Ask, coding: str, damage: Callable[[bytes], bytes]
) -> None:
    body = damage(CODINGS[coding](chat(ID)))
    outcome, _ = ask({**bearer(), "content-encoding": coding}, body)
    assert (error(outcome)["status"], error(outcome)["code"]) == (400, "invalid_content_encoding")


@pytest.mark.parametrize(
    "kind",
    [
        *("application/json", "application/problem+json", "text/json", "text/plain;charset=UTF-8"),
        *("application/x-www-form-urlencoded", "application/json, application/json", "", None),
    ],
)
def test_json_may_go_by_any_media_type_or_none(
    ask: Ask, sidecar: FakeSidecar, kind: str | None
) -> None:
    sidecar.media[ID] = URL
    headers = bearer() if kind is None else {**bearer(), "content-type": kind}
    _, request = ask(headers, chat(ID))
    assert request.body_set == chat(URL)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-32-be", "utf-8-sig"])
def test_json_may_be_in_any_encoding_of_unicode(
    ask: Ask, sidecar: FakeSidecar, encoding: str
) -> None:
    sidecar.media[ID] = URL
    sent = chat(ID).decode().encode(encoding)
    _, request = ask({**bearer(), "content-type": "application/json; charset=utf-16"}, sent)
    assert request.body_set == chat(URL)
    assert request.headers_set["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "body",
    [
        f'{{"image_url":"{ID}",}}',
        f"{{'image_url':'{ID}'}}",
        f"image_url={ID}",
        f'{{"image_url":"{ID}"',
        f'{{"image_url":"{ID}"}}{{}}',
        f'{{"image_url":"\\u006a{ID[1:]}",}}',
        f'{{"image_url":"{ID}"}}'.encode("utf-16") + b"x",
        f'{{"image_url":"{ID}"}}'.encode("utf-32-le") + b"x",
    ],
)
def test_a_body_with_an_id_that_is_no_json_is_refused(ask: Ask, body: str | bytes) -> None:
    sent = body if isinstance(body, bytes) else body.encode()
    outcome, _ = ask({**bearer(), "content-type": "application/json"}, sent)
    assert (error(outcome)["status"], error(outcome)["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe\x00", b"jan_ is a month", b"a=jan_b", b"[1,"])
def test_a_body_without_an_id_goes_on_whatever_it_is(ask: Ask, body: bytes) -> None:
    outcome, request = ask({**bearer(), "content-type": "application/json"}, body)
    assert outcome.kind == "passed"
    assert request.body_set is None


@pytest.mark.parametrize(
    "name",
    [
        *(ID[:-1], ID + "0", "jan_photo", f"{ID}.png"),
        *(f"data:image/png;{ID[:-1]}", f"data:image/png;base64,{ID}.png"),
    ],
)
def test_what_begins_like_an_id_and_is_none_is_refused_at_a_place_of_media(
    ask: Ask, name: str
) -> None:
    outcome, _ = ask(bearer(), chat(name))
    refusal = error(outcome)
    assert (refusal["status"], refusal["code"]) == (400, "media_not_found")
    assert refusal["param"] == "messages[0].content[1].image_url.url"
    assert ask(bearer(), chat(name), unresolved="pass")[1].body_set is None


def test_a_url_of_ours_becomes_a_fresh_one_and_another_stays(
    ask: Ask, sidecar: FakeSidecar
) -> None:
    expired = f"http://gateway.example/media/files/ab/{ID}.png?expires=1&signature=2"
    foreign = f"https://elsewhere.example/{ID}.png"
    sidecar.media[expired], sidecar.ids[expired] = URL, ID
    sidecar.foreign = [foreign]
    _, request = ask(bearer(), chat(expired, foreign))
    assert request.body_set == chat(URL, foreign)


def test_both_values_of_a_file_id_that_occurs_twice_are_rewritten(
    ask: Ask, sidecar: FakeSidecar
) -> None:
    sidecar.media[ID] = URL
    part = f'{{"type":"input_image","file_id":"{ID}","file_id":"{ID}"}}'
    outcome, request = ask(bearer(), part.encode())
    assert outcome.kind == "passed"
    assert request.body_set is not None
    assert ID.encode() not in request.body_set
    source = f'{{"source":{{"type":"file","type":"file","file_id":"{ID}","file_id":"{ID}"}}}}'
    outcome, request = ask(bearer(), source.encode())
    assert outcome.kind == "passed"
    assert ID.encode() not in (request.body_set or b"")
