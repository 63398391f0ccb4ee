"""A token is accepted exactly if the rules allow it, and only if the issuer has signed it."""

import hmac
import json
import math
import time
from typing import Any

from jan_media_plugin.answers import Refused
from jan_media_plugin.auth.caller import Caller, is_subject, presented
from jan_media_plugin.auth.tokens import Tokens

from tests.fuzz.readers.pieces import leading
from tests.unit.plugin.test_tokens import checker, issuer
from tests.unit.plugin.tokens import ISSUER, part

SECRET = "a shared secret of more than 32 bytes"
LEEWAY = 30
DEEPEST = 16
WORDS = [
    *(
        b'"alg":"HS256"',
        b'"none"',
        b'"ES256"',
        b'"kid":',
        b'"typ":"JWT"',
        b'"crit":["b64"]',
        b'"b64":false',
    ),
    *(
        b'"jwk":{',
        b'"iss":',
        b'"sub":',
        b'"aud":["jan"]',
        b'"exp":',
        b'"nbf":',
        b'"iat":',
        b'"jti":',
    ),
    *(
        b'"groups":["a"]',
        b"4102444800",
        b"1e999",
        b"NaN",
        b"null",
        b"true",
        b"[[[[",
        b"{",
        b"\\u00",
        b".",
    ),
    *(b"Bearer ", b"sk_12345678", b"\xff\xfe"),
]
_TOKENS = checker(issuer(secret=SECRET, algorithms=("HS256",), leeway=LEEWAY))


def signed(header: bytes, claims: bytes) -> str:
    """A token of these bytes, with the signature of the issuer."""
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{part(hmac.digest(SECRET.encode(), text.encode(), 'sha256'))}"


def admitted(authorization: str, tokens: Tokens = _TOKENS) -> Caller | None:
    """Whom the header admits; None if it is refused as it has to be, with a 401."""
    try:
        credential = presented({"authorization": [authorization]}, api_keys=True)
        assert credential is not None
        if credential.is_api_key:
            return None
        return _result(tokens.check(credential.text))
    except Refused as refused:
        why = refused
    assert why.status == 401
    return None


def _result(check: Any) -> Caller:
    """What a coroutine that waits for nothing returns."""
    try:
        check.send(None)
    except StopIteration as end:
        caller: Caller = end.value
        return caller
    raise AssertionError("it waits, though the issuer's key is at hand")


# --- the rules


def _document(data: bytes) -> dict[str, Any] | None:
    """A JSON object (RFC 8259) without a name twice, and not too deep."""

    def strict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError
        return dict(pairs)

    try:
        document = json.loads(data, object_pairs_hook=strict)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and _depth(document) <= DEEPEST else None


def _depth(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return isinstance(value, dict | list) + max(map(_depth, inside), default=0)


def _date(claims: dict[str, Any], name: str, otherwise: float) -> float:
    """A NumericDate; not a number (which compares with none) if it is something else."""
    value = claims.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return value


def by_the_rules(header: bytes, claims: bytes, now: float) -> str | None:
    """The subject that a token with the issuer's signature admits, or None."""
    says, claimed = _document(header), _document(claims)
    if says is None or claimed is None:
        return None
    if says.get("alg") != "HS256" or "crit" in says or says.get("b64", True) is False:
        return None
    if not isinstance(says.get("kid", ""), str) or not isinstance(claimed.get("jti", ""), str):
        return None
    in_time = (
        now - LEEWAY < _date(claimed, "exp", math.nan) < math.inf
        and -math.inf < _date(claimed, "nbf", now) <= now + LEEWAY
        and -math.inf < _date(claimed, "iat", now) <= now + LEEWAY
    )
    audience = claimed.get("aud")
    audience = audience if isinstance(audience, list) else [audience]
    meant = "jan" in audience and all(isinstance(one, str) for one in audience)
    subject = claimed.get("sub")
    if in_time and meant and claimed.get("iss") == ISSUER and is_subject(subject):
        return str(subject)
    return None


# --- what must hold


def assert_let_in_by_the_rules(header: bytes, claims: bytes) -> None:
    """Of a token with the issuer's signature."""
    now = time.time()
    earlier, later = (by_the_rules(header, claims, now + by) for by in (-60, 60))
    caller = admitted(f"Bearer {signed(header, claims)}")
    assert (caller and caller.subject) in (earlier, later)
    if caller is not None:
        assert caller.issuer == ISSUER
        assert all(isinstance(group, str) and group.isprintable() for group in caller.groups)


def assert_refused(authorization: str, tokens: Tokens = _TOKENS) -> None:
    """Of whatever has no signature of the issuer."""
    assert admitted(authorization, tokens) is None


def check(data: bytes) -> None:
    """A byte for the kind; then header, line feed and claims, or the text of the HTTP header."""
    (kind,), rest = leading(data, 1)
    header, _, claims = rest.partition(b"\n")
    if kind % 4 == 0:
        assert_refused(rest.decode("utf-8", "surrogateescape"))
    elif kind % 4 == 1:
        assert_refused(f"Bearer {part(header)}.{part(claims)}.AAAA")
    else:
        assert_let_in_by_the_rules(header, claims)
