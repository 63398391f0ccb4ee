"""Which bearer tokens are valid, and whose they are."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jan_media_plugin.answers import Refused
from jan_media_plugin.auth.caller import Caller, Credential, presented
from jan_media_plugin.auth.tokens import Tokens
from jan_media_plugin.config import Issuer

from tests.unit.plugin.fake_sidecar import FakeSidecar
from tests.unit.plugin.tokens import (
    EC_KEY,
    ISSUER,
    OTHER_EC_KEY,
    RSA_KEY,
    claims,
    public_jwk,
    raw_token,
    token,
)

SECRET = "a shared secret of more than 32 bytes"


def issuer(**changes: Any) -> Issuer:
    fields: dict[str, Any] = {
        "issuer": ISSUER,
        "jwks_url": None,
        "discovery_url": None,
        "secret": None,
        "public_key": None,
        "audience": ("jan",),
        "algorithms": ("ES256", "RS256", "EdDSA"),
        "groups_claim": "groups",
        "leeway": 30,
    }
    return Issuer(**{**fields, **changes})


def pem(key: Any) -> str:
    encoded: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


def checker(*issuers: Issuer, now: Callable[[], float] = time.time) -> Tokens:
    return Tokens(issuers, fresh=300, stale=3600, timeout=2, now=now)


def check(text: str, *issuers: Issuer) -> Caller:
    """Check a token as a request that presents it would."""
    credential = presented({"authorization": [f"Bearer {text}"]}, api_keys=True)
    assert credential == Credential(text, is_api_key=False)
    return asyncio.run(checker(*(issuers or (issuer(public_key=pem(EC_KEY)),))).check(text))


def refusal(text: str, *issuers: Issuer) -> Refused:
    with pytest.raises(Refused) as refused:
        check(text, *issuers)
    return refused.value


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (EC_KEY, "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (RSA_KEY, "RS256"),
        (RSA_KEY, "PS256"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
    ],
)
def test_a_good_token_names_its_caller(key: Any, algorithm: str) -> None:
    trusted = issuer(public_key=pem(key), algorithms=(algorithm,))
    good = token(key, algorithm, groups=["staff", "dev"])
    assert check(good, trusted) == Caller("alice", ISSUER, ("staff", "dev"))


def test_an_issuer_may_share_a_secret() -> None:
    trusted = issuer(secret=SECRET, algorithms=("HS256",))
    assert check(token(SECRET, "HS256"), trusted).subject == "alice"
    assert refusal(token(SECRET + "!", "HS256"), trusted).status == 401


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exp": timedelta(seconds=-60)}, "expired"),
        ({"exp": None}, "lacks a claim"),
        ({"exp": "soon"}, "not a number"),
        ({"exp": "99999999999"}, "not a number"),
        ({"exp": True}, "not a number"),
        ({"exp": [99999999999]}, "not a number"),
        ({"exp": float("nan")}, "not acceptable"),
        ({"exp": float("inf")}, "not acceptable"),
        ({"nbf": timedelta(seconds=60)}, "not valid yet"),
        ({"iat": timedelta(seconds=60)}, "not valid yet"),
        ({"nbf": "0"}, "not a number"),
        ({"iat": "0"}, "not a number"),
        ({"iat": {}}, "not a number"),
        ({"iss": ISSUER + "/"}, "issuer is not accepted"),
        ({"aud": ["x", ["jan"]]}, "audience"),
        ({"aud": {"jan": 1}}, "audience"),
        ({"aud": "janet"}, "audience"),
        ({"aud": ["x", "y"]}, "audience"),
        ({"sub": 5}, "not acceptable"),
        ({"sub": ["alice"]}, "not acceptable"),
        ({"iss": "https://other.example"}, "issuer is not accepted"),
        ({"iss": None}, "issuer is not accepted"),
        ({"aud": "other"}, "audience"),
        ({"aud": None}, "lacks a claim"),
        ({"sub": None}, "lacks a claim"),
        ({"sub": ""}, "sub cannot name"),
        ({"sub": " alice"}, "sub cannot name"),
        ({"sub": "a\r\nX-Jan-Groups: admin"}, "sub cannot name"),
        ({"sub": "\ud800"}, "sub cannot name"),
        ({"sub": "a" * 256}, "sub cannot name"),
        ({"sub": "ä" * 128}, "sub cannot name"),
    ],
)
def test_wrong_claims_are_refused(changes: dict[str, Any], words: str) -> None:
    refused = refusal(token(**changes))
    assert refused.status == 401
    assert words in refused.message
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": timedelta(seconds=-10)},
        {"nbf": timedelta(seconds=10)},
        {"iat": timedelta(seconds=10)},
        {"aud": ["x", "jan"]},
        {"exp": 10**400},
    ],
)
def test_claims_within_the_leeway_are_accepted(changes: dict[str, Any]) -> None:
    assert check(token(**changes)).subject == "alice"


def test_no_audience_is_asked_for_where_none_is_configured() -> None:
    assert check(token(aud="any"), issuer(public_key=pem(EC_KEY), audience=())).subject == "alice"


def forged(header: dict[str, Any], signature: str = "") -> str:
    return raw_token(header, claims(), signature)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(token(OTHER_EC_KEY), id="signed by another key"),
        pytest.param(token()[:-4] + "AAAA", id="a changed signature"),
        pytest.param(forged({"alg": "none"}), id="alg none"),
        pytest.param(forged({"alg": "NoNe"}), id="alg NoNe"),
        pytest.param(forged({}), id="no alg"),
        pytest.param(forged({"alg": ["ES256"]}), id="alg a list"),
        pytest.param(forged({"alg": "ES256"}), id="no signature"),
        pytest.param(token(SECRET, "HS256"), id="an algorithm that is not the issuer's"),
        pytest.param(token(header={"crit": ["b64"]}), id="a critical extension"),
        pytest.param(forged({"alg": "ES256", "kid": {"a": 1}}), id="kid no text"),
        pytest.param(
            token(OTHER_EC_KEY, header={"jwk": public_jwk(OTHER_EC_KEY)}), id="its own key in jwk"
        ),
        pytest.param(
            token(OTHER_EC_KEY, header={"jku": "http://127.0.0.1:1/"}), id="its own key by jku"
        ),
        pytest.param(
            token(OTHER_EC_KEY, header={"x5u": "http://127.0.0.1:1/"}), id="its own key by x5u"
        ),
        pytest.param(
            token(OTHER_EC_KEY, header={"x5c": ["MIIB"]}), id="its own certificate in x5c"
        ),
        pytest.param(
            token(OTHER_EC_KEY, header={"kid": "../../../dev/null"}), id="kid a path to a file"
        ),
        pytest.param(
            token(OTHER_EC_KEY, header={"kid": "k1' UNION SELECT '"}), id="kid an injection"
        ),
        pytest.param(token(header={"b64": False}), id="a payload that is said not to be encoded"),
        pytest.param(
            raw_token({"alg": "ES256"}, {**claims(), "iss": [ISSUER]}, "AA"), id="iss a list"
        ),
        pytest.param(token() + ".x.y", id="five parts, as if encrypted"),
        pytest.param(raw_token(b"[" * 50 + b"]" * 50, claims(), "AA"), id="a deeply nested header"),
        pytest.param(
            raw_token({"alg": "ES256"}, b'{"a":' * 900 + b"1" + b"}" * 900, "AA"),
            id="deeply nested claims",
        ),
        pytest.param(
            raw_token({"alg": "ES256"}, b'{"iss":"x","iss":"' + ISSUER.encode() + b'"}', "AA"),
            id="a claim twice",
        ),
        pytest.param(raw_token(b"not json", claims(), "AA"), id="a header that is no JSON"),
        pytest.param(raw_token({"alg": "ES256"}, b"[]", "AA"), id="claims that are no object"),
        pytest.param(raw_token({"alg": "ES256"}, b"\xff\xfe", "AA"), id="claims that are no text"),
        pytest.param("a.b.c", id="bad base64"),
    ],
)
def test_forgeries_are_refused(text: str) -> None:
    assert refusal(text).status == 401


@pytest.mark.parametrize("groups", [500, 5000])
def test_a_token_may_name_as_many_groups_as_its_company_has(groups: int) -> None:
    names = [f"department-{number}" for number in range(groups)]
    assert check(token(groups=names)).groups == tuple(names)


@pytest.mark.parametrize(
    ("aud", "shown"),
    [
        ("account", "account, and not for jan."),
        (["account", "https://api.example/"], "account or https://api.example/, and not"),
        (['"\r\nX: y', {}, 5], "???X: y or ?? or 5, and not"),
        (["x" * 9000] * 9, "x, and not"),
    ],
)
def test_a_token_for_another_audience_is_refused_with_both_sides_named(
    aud: object, shown: str
) -> None:
    refused = refusal(token(aud=aud))
    assert shown in refused.message
    assert len(refused.message) < 1000
    assert refused.headers["WWW-Authenticate"].isprintable()
    assert refused.headers["WWW-Authenticate"].count('"') == 6


def test_the_same_subject_of_two_issuers_is_two_callers() -> None:
    one = issuer(public_key=pem(EC_KEY))
    other = issuer(issuer="https://other.example", secret=SECRET, algorithms=("HS256",))
    callers = {
        check(token(), one, other),
        check(token(SECRET, "HS256", iss="https://other.example"), one, other),
    }
    assert {caller.subject for caller in callers} == {"alice"}
    assert len({(caller.issuer, caller.subject) for caller in callers}) == 2


def test_a_secret_of_one_issuer_signs_nothing_for_another() -> None:
    one = issuer(public_key=pem(EC_KEY))
    other = issuer(issuer="https://other.example", secret=SECRET, algorithms=("HS256",))
    assert refusal(token(SECRET, "HS256"), one, other).status == 401
    assert refusal(token(EC_KEY, iss="https://other.example"), one, other).status == 401


def test_a_public_key_is_never_taken_for_a_shared_secret() -> None:
    public = pem(RSA_KEY)
    confused = raw_token({"alg": "HS256"}, claims(), "AAAA")
    tokens = checker(issuer(public_key=public, algorithms=("RS256",)))
    with pytest.raises(Refused):
        asyncio.run(tokens.check(confused))


def test_an_issuer_vouches_only_for_itself() -> None:
    ours = issuer(public_key=pem(EC_KEY))
    theirs = issuer(issuer="https://theirs", public_key=pem(OTHER_EC_KEY))
    assert check(token(OTHER_EC_KEY, iss="https://theirs"), ours, theirs).issuer == "https://theirs"
    assert refusal(token(OTHER_EC_KEY), ours, theirs).status == 401


def test_a_short_rsa_key_does_not_count() -> None:
    short = rsa.generate_private_key(65537, 1024)
    assert refusal(token(short, "RS256"), issuer(public_key=pem(short))).status == 401


@pytest.mark.parametrize(
    ("claim", "changes", "groups"),
    [
        ("groups", {"groups": ["a", "b c", 5, "", "d\n"]}, ("a", "b c")),
        ("scope", {"scope": "read write"}, ("read", "write")),
        ("realm_access.roles", {"realm_access": {"roles": ["x"]}}, ("x",)),
        ("a.b", {"a.b": ["dotted"], "a": {"b": ["nested"]}}, ("dotted",)),
        ("groups", {"groups": {"a": 1}}, ()),
        ("groups", {}, ()),
    ],
)
def test_groups_come_from_the_claim_that_is_configured(
    claim: str, changes: dict[str, Any], groups: tuple[str, ...]
) -> None:
    trusted = issuer(public_key=pem(EC_KEY), groups_claim=claim)
    assert check(token(**changes), trusted).groups == groups


def times_verified(tokens: Tokens, text: str) -> int:
    """How often a token's signature is checked when it comes three times."""
    with mock.patch.object(jwt, "decode", wraps=jwt.decode) as decode:
        for _ in range(3):
            with contextlib.suppress(Refused):
                asyncio.run(tokens.check(text))
    return decode.call_count


def test_a_good_token_is_remembered_until_it_expires() -> None:
    trusted = issuer(public_key=pem(EC_KEY), leeway=0)
    assert times_verified(checker(trusted), token()) == 1
    then = time.time() + 3600  # by this clock, its time is over
    assert times_verified(checker(trusted, now=lambda: then), token()) == 3


def test_a_refused_token_is_not_remembered() -> None:
    tokens = checker(issuer(public_key=pem(EC_KEY)))
    assert times_verified(tokens, token(OTHER_EC_KEY)) == 3


def test_no_answer_quotes_the_token(sidecar: FakeSidecar) -> None:
    bad = token(OTHER_EC_KEY, sub="secret-subject")
    refused = refusal(bad, issuer(jwks_url=f"{sidecar.url}/jwks.json"))
    said = json.dumps(refused.arguments())
    assert "secret-subject" not in said
    assert not any(piece in said for piece in bad.split("."))


def test_pyjwt_finds_our_good_tokens_good() -> None:
    assert jwt.decode(token(), EC_KEY.public_key(), ["ES256"], audience="jan")["sub"] == "alice"
