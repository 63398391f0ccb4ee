"""Signed forms, signed URLs and tokens: a changed one is refused, or means the same."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st
from jan_media.errors import Refused
from jan_media_plugin.auth.caller import Caller

from tests.fuzz.readers import token as tokens
from tests.fuzz.readers.signed_form import FORM, NOW, TIMES, TTL, URLS, assert_let_in_by_the_rules
from tests.support.fuzzing import examples
from tests.unit.plugin.test_tokens import checker, issuer, pem
from tests.unit.plugin.tokens import EC_KEY, ISSUER, claims, token

VALUES = [*FORM.values(), "", "images/b", "image/PNG", "x", "é", "\x00"]

forms = st.dictionaries(
    st.sampled_from(
        [
            *(*FORM, "KEY", "Policy", "CONTENT-TYPE", "X-Amz-Date", "X-AMZ-SIGNATURE", "file"),
            *("x-ignore-me", "X-Ignore-", "submit", "acl", "bucket", "success_action_redirect"),
        ]
    ),
    st.sampled_from(VALUES),
    max_size=5,
)
changed_forms = st.builds(
    lambda left_out, more: {n: v for n, v in FORM.items() if n not in left_out} | more,
    st.sets(st.sampled_from(list(FORM)), max_size=2),
    forms,
)


@given(changed_forms, st.sampled_from(TIMES))
@settings(max_examples=examples(500), deadline=None)
def test_a_form_is_let_in_exactly_by_the_rules(fields: dict[str, str], now: float) -> None:
    assert_let_in_by_the_rules(fields, now)


@given(st.data())
@settings(max_examples=examples(300), deadline=None)
def test_a_changed_url_is_refused(data: st.DataObject) -> None:
    url = URLS.presign_get("content/a", mime="image/png", filename="a.png", ttl=TTL)
    params = dict(parse_qsl(urlsplit(url).query))
    name = data.draw(st.sampled_from(sorted(params)))
    other = data.draw(st.text(max_size=70).filter(lambda text: text != params[name]))
    try:
        URLS.check_url("GET", "content/a/a.png", params | {name: other}, NOW)
    except Refused:
        return
    raise AssertionError(f"{name}={other!r} was let in")


GOOD = token(groups=["staff"])
CHECKER = checker(issuer(public_key=pem(EC_KEY)))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ "


@given(st.data())
@settings(max_examples=examples(300), deadline=None)
def test_a_changed_token_is_refused_or_means_the_same(data: st.DataObject) -> None:
    text = list(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.text(ALPHABET, max_size=3))
    caller = tokens.admitted("Bearer " + "".join(text), CHECKER)
    # The last character of a part has bits that mean nothing.
    assert caller in (None, Caller("alice", ISSUER, ("staff",)))


any_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk"]), any_json),
    st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "sub", "aud", "groups"]), any_json),
)
@settings(max_examples=examples(300), deadline=None)
def test_a_token_that_its_issuer_signed_is_let_in_exactly_by_the_rules(
    header: dict[str, Any], changes: dict[str, Any]
) -> None:
    tokens.assert_let_in_by_the_rules(
        json.dumps({"alg": "HS256", **header}).encode(), json.dumps(claims() | changes).encode()
    )
