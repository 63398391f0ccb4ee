"""AWS Signature Version 4 in a URL: the links that clients get.

Written from the AWS documentation, "Authenticating Requests: Using Query Parameters (AWS Signature
Version 4)", https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html.

Why not botocore's: its signer takes ten times as long, ``generate_presigned_url`` longer still.
docs/dependencies.md has the figures.

Everything here is pure computation.
"""

import hashlib
import hmac
import time
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

from botocore.credentials import ReadOnlyCredentials

_ALGORITHM = "AWS4-HMAC-SHA256"
LONGEST_TTL = 7 * 24 * 3600  # seconds; the protocol's limit


def presign(
    credentials: ReadOnlyCredentials,
    region: str,
    method: str,
    url: str,
    *,
    ttl: int,
    now: float,
    query: Mapping[str, str] | None = None,
    content_type: str | None = None,
) -> str:
    """Return ``url`` with ``query`` and a signature, good for ``ttl`` seconds from ``now`` (Unix).

    ``url`` has no query, no default port, and a path that needs no escaping. With ``content_type``
    that header is signed too and must be sent unchanged. Raises `ValueError` for a ``ttl`` that the
    protocol does not allow.
    """
    if not 1 <= ttl <= LONGEST_TTL:
        raise ValueError(f"a presigned URL lives 1 to {LONGEST_TTL} seconds, not {ttl}")
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    host, _, path = url.partition("://")[2].partition("/")
    headers, signed = f"host:{host}\n", "host"
    if content_type is not None:
        headers, signed = f"content-type:{content_type}\n{headers}", "content-type;host"
    parameters = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(ttl),
        "X-Amz-SignedHeaders": signed,
        **({"X-Amz-Security-Token": credentials.token} if credentials.token else {}),
        **(query or {}),
    }
    pairs = sorted(f"{name}={_encode(value)}" for name, value in parameters.items())
    canonical_query = "&".join(pairs)
    request = f"{method}\n/{path}\n{canonical_query}\n{headers}\n{signed}\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{digest}"
    key = _signing_key(credentials.secret_key, stamp[:8], region)
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return f"{url}?{canonical_query}&X-Amz-Signature={signature}"


@lru_cache(maxsize=8)
def _signing_key(secret_key: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


# Most encoded texts are the same in every URL, and encoding takes longer than signing.
@lru_cache(maxsize=1024)
def _encode(text: str) -> str:
    """Percent-encode all but the unreserved characters of RFC 3986, as the protocol demands."""
    return quote(text, safe="-_.~")
