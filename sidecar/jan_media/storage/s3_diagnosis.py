"""Finds what is wrong with an S3 setup, and how to fix it, by really using it.

Each check does what a client or the sidecar would do, with objects below ``doctor/`` that are
removed at the end. A check that cannot run because an earlier one failed is left out.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from jan_media.doctor.finding import Finding, Verdict, ok, problem, warning
from jan_media.storage.interface import ObjectMissing, StorageUnavailable
from jan_media.storage.s3_failures import advice, error_code

if TYPE_CHECKING:
    from jan_media.storage.s3 import S3Storage

_PROBE = b"jan-media doctor was here"
_MIME = "application/octet-stream"
_SKEW_NOTED = 60  # seconds
_SKEW_REFUSED = 15 * 60  # seconds; S3 answers RequestTimeTooSkewed beyond
_BROWSER_METHODS = {"GET", "PUT", "POST"}
_CREDENTIALS_REFUSED = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "RequestTimeTooSkewed",
}
_ASK_FOR_CORS = (
    "Allow your site's origin: aws s3api put-bucket-cors --bucket {bucket} --cors-configuration "
    '\'{{"CORSRules":[{{"AllowedOrigins":["https://YOUR.SITE"],'
    '"AllowedMethods":["GET","PUT","POST"],"AllowedHeaders":["content-type"],'
    '"ExposeHeaders":["ETag"],"MaxAgeSeconds":3600}}]}}\' (with --endpoint-url if it is not AWS).'
)


def diagnose(storage: "S3Storage", *, clock: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Check credentials, bucket, clock, permissions, CORS and presigned URLs, in this order.

    Never raises for what it finds. ``clock`` gives this machine's Unix seconds.
    """
    key = f"doctor/{secrets.token_hex(8)}"
    usable = True
    for finding in _access(storage, clock):
        usable = usable and finding.verdict is not Verdict.PROBLEM
        yield finding
    if usable:
        yield _permissions(storage, key)
        yield _cors(storage)
        try:
            yield from _presigned(storage, key)
        finally:
            with suppress(StorageUnavailable):  # the cause is a finding already
                storage.delete([key, f"{key}/post", f"{key}/put"])


def _access(storage: "S3Storage", clock: Callable[[], float]) -> Iterator[Finding]:
    """Whether the service answers, accepts us, has the bucket, and agrees on the time."""
    endpoint = storage.client.meta.endpoint_url
    refusal: ClientError | None = None
    try:
        answer: Any = storage.client.list_objects_v2(Bucket=storage.bucket, MaxKeys=1)
    except ClientError as error:
        refusal, answer = error, error.response
    except BotoCoreError as error:
        yield problem(
            "endpoint",
            f"No answer from {endpoint} ({type(error).__name__}). Check MEDIA_S3_ENDPOINT, the "
            "network and the service.",
        )
        return
    yield ok("endpoint", f"{endpoint} answers.")
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if date is not None:
        yield _clock_skew(clock() - parsedate_to_datetime(date).timestamp())
    if refusal is not None and error_code(refusal) in _CREDENTIALS_REFUSED:
        yield problem("credentials", advice(refusal))
        return
    yield ok("credentials", "The credentials are accepted.")
    if refusal is None:
        yield ok("bucket", f"{storage.bucket} is there and may be listed.")
    else:
        yield problem("bucket", f"{storage.bucket}: {advice(refusal)}")


def _clock_skew(ahead: float) -> Finding:
    if abs(ahead) < _SKEW_NOTED:
        return ok("clock", "This machine's clock agrees with the service's.")
    found = problem if abs(ahead) >= _SKEW_REFUSED else warning
    return found(
        "clock",
        f"This machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the "
        "service's. Synchronize it (NTP), or signed URLs begin or end at the wrong time.",
    )


def _permissions(storage: "S3Storage", key: str) -> Finding:
    """Do everything that the sidecar does with an object, once."""
    doing = "write"
    try:
        storage.put(key, BytesIO(_PROBE), mime=_MIME)
        doing = "read"
        with storage.read(key) as pieces:
            same = b"".join(pieces) == _PROBE
        doing = "copy"
        storage.copy(key, f"{key}/copy", mime=_MIME)
        doing = "delete"
        storage.delete([key, f"{key}/copy"])
    except (StorageUnavailable, ObjectMissing) as error:
        return problem("permissions", f"Objects cannot be {doing}: {error}")
    if not same:
        return problem(
            "permissions",
            "An object read back differs from what was written. Look for a proxy or cache between "
            "the sidecar and MEDIA_S3_ENDPOINT, and bypass it.",
        )
    return ok("permissions", "Objects can be written, read, copied and deleted.")


def _cors(storage: "S3Storage") -> Finding:
    """Whether pages of some origin may upload and fetch."""
    fix = _ASK_FOR_CORS.format(bucket=storage.bucket)
    try:
        rules = storage.client.get_bucket_cors(Bucket=storage.bucket)["CORSRules"]
    except ClientError as error:
        if error_code(error) == "NoSuchCORSConfiguration":
            return warning("cors", f"Browsers cannot upload: the bucket has no CORS. {fix}")
        return warning("cors", f"The bucket's CORS cannot be read: {advice(error)}")
    except BotoCoreError as error:
        return warning("cors", f"No answer about CORS ({type(error).__name__}).")
    allowed = {
        method
        for rule in rules
        if {"*", "content-type"} & {header.lower() for header in rule.get("AllowedHeaders", [])}
        for method in rule["AllowedMethods"]
    }
    if missing := sorted(_BROWSER_METHODS - allowed):
        return warning(
            "cors",
            "Browsers cannot use everything: no CORS rule with the header content-type allows "
            f"{', '.join(missing)}. {fix}",
        )
    origins = sorted({origin for rule in rules for origin in rule["AllowedOrigins"]})
    return ok("cors", f"Pages of {', '.join(origins)} may upload and fetch.")


def _presigned(storage: "S3Storage", key: str) -> Iterator[Finding]:
    """Use the URLs that clients get, at the public endpoint."""
    form = storage.presign_post(f"{key}/post", max_bytes=len(_PROBE), ttl=60)
    put = storage.presign_put(f"{key}/put", mime=_MIME, ttl=60)
    get = storage.presign_get(f"{key}/post", mime="image/png", filename="probe.png", ttl=60)
    with httpx.Client(timeout=10.0) as client:
        uses: list[tuple[str, Callable[[], httpx.Response]]] = [
            ("form", lambda: client.post(form.url, data=form.fields, files={"file": _PROBE})),
            ("put", lambda: client.put(put, content=_PROBE, headers={"Content-Type": _MIME})),
            ("get", lambda: client.get(get)),
        ]
        for name, send in uses:
            yield _used(f"presigned {name}", send)


def _used(subject: str, send: Callable[[], httpx.Response]) -> Finding:
    try:
        answer = send()
    except httpx.HTTPError as error:
        return problem(
            subject,
            f"The public endpoint cannot be reached from here ({type(error).__name__}). Set "
            "MEDIA_S3_PUBLIC_ENDPOINT to the address that clients and the LLM use for S3.",
        )
    is_image = answer.headers.get("content-type") == "image/png"
    as_signed = answer.request.method != "GET" or (answer.content == _PROBE and is_image)
    if answer.is_success and as_signed:
        return ok(subject, "It works at the public endpoint.")
    return problem(
        subject,
        f"The public endpoint answered {answer.status_code}. MEDIA_S3_PUBLIC_ENDPOINT must be "
        "exactly the scheme, host and port that clients use, and a proxy there must pass the Host "
        "header and the path unchanged, since both are signed.",
    )
