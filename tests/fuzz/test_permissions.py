"""Signed forms, signed URLs and tokens: what is changed is refused, or means the same."""

import asyncio
from urllib.parse import parse_qsl, urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st
from jan_media.storage.local_urls import LocalUrls
from jan_media.storage.refusals import AccessRefused
from jan_media_plugin.answers import Refused
from jan_media_plugin.auth.caller import Caller
from jan_media_plugin.auth.credentials import presented

from tests.support.fuzzing import examples
from tests.unit.plugin.test_tokens import checker, issuer, pem
from tests.unit.plugin.tokens import EC_KEY, ISSUER, token

NOW = 1_766_000_000.0
TTL = 60
URLS = LocalUrls("https://media.example", b"a secret of 32 bytes, more or so", clock=lambda: NOW)
FORM = URLS.presign_post("images/a", mime="image/png", max_bytes=9, ttl=TTL).fields
PROMISED = {name: FORM[name] for name in FORM if name not in ("policy", "x-amz-signature")}
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


def by_the_rules(fields: dict[str, str], now: float) -> bool:
    """Whether S3's rules let the form in: every field is promised, as promised, and in time."""
    lower = [name.lower() for name in fields]
    if len(set(lower)) < len(lower):
        return False
    form = {name.lower(): value for name, value in fields.items()}
    promised = {name.lower(): value for name, value in PROMISED.items()}
    signed = (form.get("policy"), form.get("x-amz-signature")) == (
        FORM["policy"],
        FORM["x-amz-signature"],
    )
    needed = all(form.get(name) == promised[name] for name in promised if name != "content-type")
    free = {"policy", "x-amz-signature", "file", "submit"}
    others = all(
        name in free or name.startswith("x-ignore-") or promised.get(name) == value
        for name, value in form.items()
    )
    return signed and needed and others and now < NOW + TTL


@given(changed_forms, st.sampled_from([NOW, NOW + TTL - 1, NOW + TTL, NOW + 3600]))
@settings(max_examples=examples(500), deadline=None)
def test_a_form_is_let_in_exactly_by_the_rules(fields: dict[str, str], now: float) -> None:
    try:
        accepted = URLS.check_post(fields, now)
    except AccessRefused:
        assert not by_the_rules(fields, now)
    else:
        assert by_the_rules(fields, now)
        assert (accepted.key, accepted.mime, accepted.max_bytes) == ("images/a", "image/png", 9)


@given(st.data())
@settings(max_examples=examples(300), deadline=None)
def test_a_changed_url_is_refused(data: st.DataObject) -> None:
    url = URLS.presign_get("content/a", mime="image/png", filename="a.png", ttl=TTL)
    params = dict(parse_qsl(urlsplit(url).query))
    name = data.draw(st.sampled_from(sorted(params)))
    other = data.draw(st.text(max_size=70).filter(lambda text: text != params[name]))
    try:
        URLS.check_get("content/a", params | {name: other}, NOW)
    except AccessRefused:
        return
    raise AssertionError(f"{name}={other!r} was let in")


GOOD = token(groups=["staff"])
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ "


@given(st.data())
@settings(max_examples=examples(300), deadline=None)
def test_a_changed_token_is_refused_or_means_the_same(data: st.DataObject) -> None:
    text = list(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.text(ALPHABET, max_size=3))
    tokens = checker(issuer(public_key=pem(EC_KEY)))
    caller, status = None, 0
    try:
        credential = presented({"authorization": ["Bearer " + "".join(text)]}, api_keys=True)
        assert credential is not None
        caller = asyncio.run(tokens.check(credential.text))
    except Refused as refused:
        status = refused.status
    # The last character of a part has bits that mean nothing.
    assert status in (400, 401) or caller == Caller("alice", ISSUER, ("staff",))
