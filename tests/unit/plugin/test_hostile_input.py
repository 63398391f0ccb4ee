"""Whatever a client sends, the plugin admits or refuses: nothing else is ever raised."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jan_media_plugin.answers import Refused
from jan_media_plugin.auth.caller import Caller, presented
from jan_media_plugin.config import read_config
from jan_media_plugin.exchange import Edit
from jan_media_plugin.headers import REMOVED, UpstreamHeaders, check_length, is_form
from jan_media_plugin.rewrite.candidates import (
    MOST_BEGINNINGS,
    MOST_LOOKED_AT,
    TooComplex,
    candidates,
    inline_media,
)
from jan_media_plugin.rewrite.forms import Medium, edits_for
from jan_media_plugin.rewrite.members import Objects
from jan_media_plugin.rewrite.parsed import MOST_ELEMENTS, NotJson, at_places
from jan_media_plugin.rewrite.places import Places

from tests.fuzz.readers.token import assert_refused
from tests.support.fuzzing import examples
from tests.unit.plugin.bodies import ID, NEVER, WHERE
from tests.unit.plugin.test_tokens import checker, issuer, pem
from tests.unit.plugin.tokens import EC_KEY, claims, part, raw_token

CHECKER = checker(issuer(public_key=pem(EC_KEY)))

any_text = st.text(max_size=40) | st.binary(max_size=40).map(
    lambda value: value.decode("utf-8", "surrogateescape")
)
any_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
header_names = st.sampled_from(
    [
        "authorization",
        "x-api-key",
        "x-goog-api-key",
        "content-length",
        "content-type",
        "content-encoding",
    ]
)


@given(st.dictionaries(header_names, st.lists(any_text, max_size=2)))
@settings(max_examples=examples(300), deadline=None)
def test_any_headers(headers: dict[str, list[str]]) -> None:
    for refusing in (lambda: presented(headers, api_keys=True), lambda: check_length(headers, 9)):
        with contextlib.suppress(Refused):
            refusing()
    assert is_form(headers) in (True, False)


@pytest.mark.parametrize("spelled", [r"\u0061%d", r"\u006aan_%026d", "jan_%026d"])
def test_megabytes_of_strings_that_look_like_ids_are_refused(spelled: str) -> None:
    body = json.dumps([spelled % number for number in range(3 * MOST_LOOKED_AT)])
    with pytest.raises(TooComplex):
        candidates(body.replace("\\\\", "\\").encode())


@pytest.mark.parametrize("short", ['"data:"', '{"data":""}', "data ", r"\"data\": "])
def test_megabytes_of_what_media_begin_with_are_refused(short: str) -> None:
    with pytest.raises(TooComplex):
        inline_media((short * (MOST_BEGINNINGS + 1)).encode(), 1024)


def test_escapes_of_other_letters_are_no_strings_that_look_like_ids() -> None:
    body = json.dumps(["\u00e9", "\u00fc\u0160"] * MOST_LOOKED_AT + [ID])
    assert [found.name for found in candidates(body.encode())] == [ID]


@pytest.mark.parametrize(
    "part",
    ["[]", '{"a":1}', "0,0", '"",""', '{"a":1,"a":1}', "NaN,0"],
)
def test_megabytes_of_small_parts_beside_an_id_are_refused(part: str) -> None:
    body = ("[" + f"{part}," * MOST_ELEMENTS + f'{{"file_url":"{ID}"}}]').encode()
    with pytest.raises(TooComplex):
        at_places(body, candidates(body), Places(["file_url"], []))


@pytest.mark.parametrize("text", ["0.5,7,", '[{"a": [1, 2]}, ', r"\n{[,", '\\",{['])
def test_what_prose_is_about_is_not_counted_as_parts(text: str) -> None:
    prose = json.dumps(text * MOST_ELEMENTS)
    body = f'{{"messages":[{prose},{{"file_url":"{ID}"}}]}}'.encode()
    (one,) = at_places(body, candidates(body), Places(["file_url"], []))
    assert one.candidate.name == ID


@pytest.mark.parametrize("beside", ["NaN", "0"])
def test_of_a_type_that_is_given_twice_the_last_counts(beside: str) -> None:
    body = f'[{{"type":"text","type":"input_image","file_id":"{ID}","x":{beside}}}]'.encode()
    assert at_places(body, candidates(body), Places(["input_image.file_id"], []))


BESIDE = f'"file_id":"{ID}"'


@pytest.mark.parametrize(
    "members",
    [
        [BESIDE] * 1000 + ['"x":1'] * 200_000,
        ['"x":"' + r"\"" * 500_000 + '"', *[BESIDE] * 1000],
        ['"x":"' + r"\\" * 500_000 + '"', *[BESIDE] * 1000],
        ['"x":"' + "y" * 1_000_000 + '"', *[BESIDE] * 1000],
        ['"x":[' + "[]," * 90_000 + "0]", *[BESIDE] * 1000],
    ],
    ids=["members", "quotes", "backslashes", "a long string", "arrays"],
)
def test_what_is_beside_many_ids_is_not_read_for_each(members: list[str]) -> None:
    body = ('{"type":"input_image",' + ",".join(members) + "}").encode()
    is_too_much = body.count(b",") + body.count(b"[") > 100_000
    with pytest.raises(TooComplex) if is_too_much else contextlib.nullcontext():
        assert len(edits_of(body)) == 2 * 1000


def test_an_object_that_is_all_ids_takes_no_time_for_each_pair_of_them() -> None:
    body = ('{"x":1,' + ",".join([BESIDE] * MOST_LOOKED_AT) + "}").encode()
    assert len(edits_of(body, "file_id")) == 2 * MOST_LOOKED_AT


def edits_of(body: bytes, place: str = "input_image.file_id") -> list[Edit]:
    """What puts a medium in the place of each id."""
    medium = Medium(ID, "https://media.example/x", "image/png")
    standing = at_places(body, candidates(body), Places([place], []))
    objects = Objects(body)
    return [edit for one in standing for edit in edits_for(objects, one, medium)]


def test_ids_in_prose_are_read_once_for_each_string() -> None:
    long = [f"{number} {ID} jan_" * 400 for number in range(MOST_LOOKED_AT // 200)]
    urls = [f"https://{ID * 400}{number} x" for number in range(100)]
    assert candidates(json.dumps(long + urls).encode()) == []


@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk"]), any_json),
    st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "sub", "aud", "groups"]), any_json),
    any_text,
)
@settings(max_examples=examples(300), deadline=None)
def test_any_token_of_a_known_issuer(
    header: dict[str, Any], changes: dict[str, Any], signature: str
) -> None:
    text = raw_token(
        {"alg": "ES256", **header},
        {**claims(), **changes},
        part(signature.encode("utf-8", "surrogatepass")),
    )
    assert_refused(f"Bearer {text}", CHECKER)


@given(st.binary(max_size=60), st.binary(max_size=60))
@settings(max_examples=examples(200), deadline=None)
def test_any_bytes_in_a_token(header: bytes, body: bytes) -> None:
    assert_refused(f"Bearer {raw_token(header, body, 'AAAA')}", CHECKER)


@given(st.lists(st.sampled_from(list(b'{}[]:,"\\ 0e\xff')) | st.just(-1), max_size=60))
@settings(max_examples=examples(500), deadline=None)
def test_any_bytes_in_a_body(pieces: list[int]) -> None:
    media_id = b'"jan_01hqr8v9k2x3f4g5h6j7k8m9n0"'
    body = b"".join(media_id if piece < 0 else bytes([piece]) for piece in pieces)
    with contextlib.suppress(TooComplex, NotJson):
        standing = at_places(body, candidates(body), Places(WHERE, NEVER))
        assert all(body[one.candidate.start : one.candidate.end] in media_id for one in standing)


@given(st.lists(st.text("xXjJaAnNuUsSeErRiIdD-_.", min_size=1, max_size=14), max_size=6))
@settings(max_examples=examples(300), deadline=None)
def test_no_spelling_of_an_identity_header_gets_past(names: list[str]) -> None:
    config = read_config({"user_header": "X-Jan", "issuer_header": "U-S", "groups_header": "D-D"})
    headers = {name.lower(): ["forged"] for name in names}
    changes = UpstreamHeaders(config).changes(headers, Caller("alice", "i", ()))
    reached = {**headers, **{name.lower(): value for name, value in changes.items()}}
    ours = {"x-jan": "alice", "u-s": "i", "d-d": ""}
    for name, value in reached.items():
        if name.replace("_", "-").replace(".", "-") in ours:
            assert value == (ours.get(name) if name in ours else REMOVED)
