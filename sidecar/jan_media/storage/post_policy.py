"""The browser-style upload form: a POST policy, its signature, and the check of both.

Both storages hand out the same form. S3 checks it itself; for a local storage `PolicyChecker`
does, by the rules of the AWS documentation:

- "POST Policy": https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
- "Creating an HTML Form": https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTForms.html
"""

import base64
import binascii
import hmac
import json
import time
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass

from jan_media.storage.refusals import AccessExpired, FieldMissing, FieldRefused, SignatureMismatch
from jan_media.storage.sigv4 import ALGORITHM, Credentials, Signer, timestamp


@dataclass(frozen=True, slots=True)
class AcceptedPost:
    """What a valid form allows. The file's size is still to be held against the limits."""

    key: str
    mime: str
    min_bytes: int
    max_bytes: int


def signed_form(
    signer: Signer,
    credentials: Credentials,
    *,
    key: str,
    mime: str,
    max_bytes: int,
    ttl: int,
    now: float,
    bucket: str | None = None,
) -> dict[str, str]:
    """Return the fields that come before the file: exactly ``key`` and ``mime``, 1 to
    ``max_bytes`` bytes, until ``ttl`` seconds after ``now`` (Unix seconds)."""
    stamp = timestamp(now)
    fields = {
        "key": key,
        "Content-Type": mime,
        "x-amz-algorithm": ALGORITHM,
        "x-amz-credential": signer.credential(credentials, stamp[:8]),
        "x-amz-date": stamp,
    }
    if credentials.token is not None:
        fields["x-amz-security-token"] = credentials.token
    conditions: list[dict[str, str] | list[str | int]] = [
        *({name: value} for name, value in fields.items()),
        ["content-length-range", 1, max_bytes],
    ]
    if bucket is not None:
        conditions.append({"bucket": bucket})
    expiration = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now + ttl))
    text = json.dumps({"expiration": expiration, "conditions": conditions}, separators=(",", ":"))
    policy = base64.b64encode(text.encode()).decode()
    return {
        **fields,
        "policy": policy,
        "x-amz-signature": signer.sign_policy(credentials, stamp[:8], policy),
    }


# Fields that no policy condition has to name. S3 says so of the first three; `submit` is the
# button of a plain HTML form.
_OUTSIDE_POLICY = {"policy", "x-amz-signature", "file", "submit"}
_REQUIRED = ("key", "policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date")


class PolicyChecker:
    """Checks forms that `signed_form` made with the same signer and credentials."""

    def __init__(self, signer: Signer, credentials: Credentials) -> None:
        self._signer = signer
        self._credentials = credentials

    def check(self, fields: Mapping[str, str], now: float) -> AcceptedPost:
        """Check the fields that came before the file. Names count in any case, as on S3.

        A form without Content-Type means the promised type; any other type is refused. Raises
        `FieldMissing`, `FieldRefused`, `SignatureMismatch` or `AccessExpired`.
        """
        form = _by_lower_name(fields)
        for name in (*_REQUIRED, "x-amz-signature"):
            if name not in form:
                raise FieldMissing(name)
        self._check_signature(form)
        policy = json.loads(base64.b64decode(form["policy"]))
        if now >= _unix_seconds(policy["expiration"]):
            raise AccessExpired("The upload form has expired. Ask for a new one.")
        exact, min_bytes, max_bytes = _conditions(policy["conditions"])
        mime = form.setdefault("content-type", exact["content-type"])
        for name, value in form.items():
            if name in _OUTSIDE_POLICY or name.startswith("x-ignore-"):
                continue
            if name not in exact:
                raise FieldRefused(name, f"The policy does not allow the field {name!r}.")
            if value != exact[name]:
                raise FieldRefused(name, f"The policy promises another value of {name!r}.")
        return AcceptedPost(form["key"], mime, min_bytes, max_bytes)

    def _check_signature(self, form: Mapping[str, str]) -> None:
        """Only what we signed ourselves is parsed any further."""
        day = form["x-amz-date"][:8]
        try:
            expected = self._signer.sign_policy(self._credentials, day, form["policy"])
            genuine = hmac.compare_digest(
                binascii.unhexlify(form["x-amz-signature"]), binascii.unhexlify(expected)
            )
        except ValueError:  # not hex, not UTF-8
            genuine = False
        if not genuine:
            raise SignatureMismatch("The policy's signature is not ours.")


def _by_lower_name(fields: Mapping[str, str]) -> dict[str, str]:
    form: dict[str, str] = {}
    for name, value in fields.items():
        if name.lower() in form:
            raise FieldRefused(name, f"The field {name!r} is there twice.")
        form[name.lower()] = value
    return form


def _conditions(
    conditions: list[dict[str, str] | list[str | int]],
) -> tuple[dict[str, str], int, int]:
    """Split a policy of `signed_form` into exact values by lower-case name and the size range."""
    exact: dict[str, str] = {}
    min_bytes, max_bytes = 1, 0
    for condition in conditions:
        if isinstance(condition, dict):
            exact.update((name.lower(), value) for name, value in condition.items())
        else:
            min_bytes, max_bytes = int(condition[1]), int(condition[2])
    return exact, min_bytes, max_bytes


def _unix_seconds(expiration: str) -> float:
    return timegm(time.strptime(expiration, "%Y-%m-%dT%H:%M:%S.000Z"))
