"""AWS Signature Version 4: the URLs and upload forms that are handed to clients.

Written from the AWS documentation:

- "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)"
  https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
- "Authenticating Requests in Browser-Based Uploads Using POST (AWS Signature Version 4)"
  https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-authentication-HTTPPOST.html
- "POST Policy": https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html

Why not botocore's: ``generate_presigned_url`` resolves endpoints, runs event hooks and serializes a
whole request, 25 times the work of this. docs/dependencies.md has the figures.

Everything here is pure computation.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"
LONGEST_TTL = 7 * 24 * 3600  # seconds; the protocol's limit for a presigned URL


@dataclass(frozen=True, slots=True)
class Credentials:
    """What signs. ``token`` comes with temporary credentials and travels in every signature."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Day:
    """The signing key of one secret on one day."""

    secret_key: str
    day: str
    key: bytes


class Signer:
    """Signs for one region and service. Safe to use from any thread."""

    def __init__(self, region: str, service: str = "s3") -> None:
        self._region = region
        self._service = service
        self._latest = _Day("", "", b"")

    def presign(
        self,
        credentials: Credentials,
        method: str,
        *,
        origin: str,
        host: str,
        path: str,
        ttl: int,
        now: float,
        query: Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> str:
        """Return ``origin`` + ``path`` with a signature in its query, good for ``ttl`` seconds.

        ``path`` is taken as it stands, so it must need no escaping. ``host`` is the Host header
        that the client will send. With ``content_type`` that header is signed too and must be
        sent unchanged. ``now`` is in Unix seconds. Raises `ValueError` for a ``ttl`` that the
        protocol does not allow.
        """
        if not 1 <= ttl <= LONGEST_TTL:
            raise ValueError(f"a presigned URL lives 1 to {LONGEST_TTL} seconds, not {ttl}")
        stamp = timestamp(now)
        scope = self._scope(stamp[:8])
        headers, signed = f"host:{host}\n", "host"
        if content_type is not None:
            headers, signed = f"content-type:{content_type}\n{headers}", "content-type;host"
        pairs = [
            f"X-Amz-Algorithm={ALGORITHM}",
            f"X-Amz-Credential={_encode(f'{credentials.access_key}/{scope}')}",
            f"X-Amz-Date={stamp}",
            f"X-Amz-Expires={ttl}",
            f"X-Amz-SignedHeaders={_encode(signed)}",
        ]
        if credentials.token is not None:
            pairs.append(f"X-Amz-Security-Token={_encode(credentials.token)}")
        if query:
            pairs.extend(f"{_encode(name)}={_encode(value)}" for name, value in query.items())
        pairs.sort()
        canonical_query = "&".join(pairs)
        request = f"{method}\n{path}\n{canonical_query}\n{headers}\n{signed}\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(request.encode()).hexdigest()
        signature = self._sign(credentials, stamp[:8], f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}")
        return f"{origin}{path}?{canonical_query}&X-Amz-Signature={signature}"

    def credential(self, credentials: Credentials, day: str) -> str:
        """The ``x-amz-credential`` of ``day`` (``YYYYMMDD``)."""
        return f"{credentials.access_key}/{self._scope(day)}"

    def sign_policy(self, credentials: Credentials, day: str, policy: str) -> str:
        """The ``x-amz-signature`` of a base64 POST policy whose credential is of ``day``."""
        return self._sign(credentials, day, policy)

    def _scope(self, day: str) -> str:
        return f"{day}/{self._region}/{self._service}/aws4_request"

    def _sign(self, credentials: Credentials, day: str, text: str) -> str:
        latest = self._latest  # replaced whole, never changed: threads need no lock
        if latest.day != day or latest.secret_key != credentials.secret_key:
            latest = _Day(credentials.secret_key, day, self._key(credentials.secret_key, day))
            self._latest = latest
        return hmac.digest(latest.key, text.encode(), "sha256").hex()

    def _key(self, secret_key: str, day: str) -> bytes:
        key = f"AWS4{secret_key}".encode()
        for part in (day, self._region, self._service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return key


def signed_form(
    signer: Signer,
    credentials: Credentials,
    *,
    key: str,
    max_bytes: int,
    ttl: int,
    now: float,
    bucket: str | None = None,
) -> dict[str, str]:
    """Return the fields of an upload form that come before the file.

    It allows exactly ``key``, 1 to ``max_bytes`` bytes of any type, until ``ttl`` seconds after
    ``now`` (Unix seconds).
    """
    stamp = timestamp(now)
    fields = {
        "key": key,
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


def timestamp(now: float) -> str:
    """``now`` (Unix seconds) as the protocol writes times: ``20251223T100000Z``."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


# Most of what is encoded is the same in every URL, and encoding takes longer than signing.
@lru_cache(maxsize=1024)
def _encode(text: str) -> str:
    """Percent-encode all but the unreserved characters of RFC 3986, as the protocol demands."""
    return quote(text, safe="-_.~")
