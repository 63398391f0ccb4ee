"""Signed URLs and upload forms of the local storage: what presigning is on S3.

A download URL is ``{public_url}/files/{key}/{filename}?expires=…&mime=…&signature=…``, and one for
a PUT the same without the file name. The signature is an HMAC-SHA256 over the method, the key and
every parameter, so none can be exchanged; it needs no table of issued links and holds across
restarts and processes that share the secret.

The upload form is S3's, made by `sigv4.signed_form` and posted to ``{public_url}/files``. On S3 the
service checks it; here `PolicyChecker` does, by the rules of the AWS documentation ("POST Policy"
and "Creating an HTML Form",
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTForms.html).

The checkers know nothing of HTTP: the api layer gives them what it received, and answers
`FieldMissing` with 400 and every other `AccessRefused` with 403, as S3 does. The messages are for
the client: they say what to do and show no secret.
"""

import base64
import binascii
import hmac
import json
import time
from calendar import timegm
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from jan_media.storage.interface import (
    LONGEST_URL,
    PresignedPost,
    PresignedPut,
    is_filename,
    is_key,
    media_id_of_filename,
    require_filename,
    require_key,
)
from jan_media.storage.sigv4 import Credentials, Signer, signed_form

_NOT_OURS = "The link is not one that we signed. Ask for a new one."


class AccessRefused(Exception):
    """The signed URL or form does not allow this request."""


class AccessExpired(AccessRefused):
    """It was valid once. A new one must be asked for."""


class SignatureMismatch(AccessRefused):
    """It was not signed by us, or not for this method, key or value."""


class FieldMissing(AccessRefused):
    """A form lacks a field that it cannot do without."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is missing.")
        self.name = name


class FieldRefused(AccessRefused):
    """A form field (or the Content-Type of a PUT) is not what was signed."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class AcceptedGet:
    """What a valid download URL allows: serve ``key`` as ``mime``, named ``filename``."""

    key: str
    mime: str
    filename: str


@dataclass(frozen=True, slots=True)
class AcceptedPut:
    """What a valid upload URL allows: write ``key`` with content of ``mime``."""

    key: str
    mime: str


@dataclass(frozen=True, slots=True)
class AcceptedPost:
    """What a valid form allows. The file's size is still to be held against the limits."""

    key: str
    min_bytes: int
    max_bytes: int


class LocalUrls:
    """Signs and checks. ``secret`` is at least 16 random bytes; ``clock`` gives Unix seconds."""

    def __init__(
        self, public_url: str, secret: bytes, *, clock: Callable[[], float] = time.time
    ) -> None:
        if len(secret) < 16:
            raise ValueError("the secret of local URLs needs at least 16 bytes")
        self._files_url = public_url.rstrip("/") + "/files"
        parts = urlsplit(self._files_url)
        self._origin, self._path = f"{parts.scheme}://{parts.netloc}".lower(), parts.path
        self._clock = clock
        # Independent keys for the two uses, so that neither signature can pass for the other.
        self._url_key = hmac.digest(secret, b"jan-media local url", "sha256")
        form_key = hmac.digest(secret, b"jan-media local form", "sha256")
        self._signer = Signer("local")
        self._credentials = Credentials("jan-media", form_key.hex())
        self._policies = PolicyChecker(self._signer, self._credentials)

    def presign_get(self, key: str, *, mime: str, filename: str, ttl: int) -> str:
        """See `interface.Storage.presign_get`."""
        return self._url("GET", f"{require_key(key)}/{require_filename(filename)}", ttl, mime)

    def media_id_of_url(self, url: str) -> str | None:
        """See `interface.Storage.media_id_of_url`."""
        if len(url) > LONGEST_URL:
            return None
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        if origin != self._origin or not parts.path.startswith(f"{self._path}/"):
            return None
        return media_id_of_filename(parts.path.rpartition("/")[2])

    def presign_put(self, key: str, *, mime: str, ttl: int) -> PresignedPut:
        """See `interface.TakesUploads.presign_put`."""
        return PresignedPut(self._url("PUT", require_key(key), ttl, mime), {"Content-Type": mime})

    def presign_post(self, key: str, *, max_bytes: int, ttl: int) -> PresignedPost:
        """See `interface.TakesUploads.presign_post`. The api layer enforces it by `check_post`."""
        fields = signed_form(
            self._signer,
            self._credentials,
            key=require_key(key),
            max_bytes=max_bytes,
            ttl=ttl,
            now=self._clock(),
        )
        return PresignedPost(self._files_url, fields)

    def check_get(self, path: str, params: Mapping[str, str], now: float) -> AcceptedGet:
        """Check a GET or HEAD of ``/files/{path}`` with the decoded query ``params``.

        ``now`` is in Unix seconds. Raises `SignatureMismatch` or `AccessExpired`.
        """
        key, _, filename = path.rpartition("/")
        if not is_key(key) or not is_filename(filename):
            raise SignatureMismatch(_NOT_OURS)
        self._check("GET", path, params, now)
        return AcceptedGet(key, params["mime"], filename)

    def check_put(
        self, key: str, params: Mapping[str, str], content_type: str | None, now: float
    ) -> AcceptedPut:
        """Check a PUT of ``/files/{key}`` that carries this Content-Type header.

        Raises like `check_get`, and `FieldRefused` for another content type than was signed.
        """
        if not is_key(key):
            raise SignatureMismatch(_NOT_OURS)
        self._check("PUT", key, params, now)
        if content_type != params["mime"]:
            raise FieldRefused("Content-Type", f"Send it with Content-Type: {params['mime']}.")
        return AcceptedPut(key, params["mime"])

    def check_post(self, fields: Mapping[str, str], now: float) -> AcceptedPost:
        """Check the form fields that came before the file; those after it do not count.

        Raises `FieldMissing`, `FieldRefused`, `SignatureMismatch`, `AccessExpired`. The caller
        then takes the file if it has ``min_bytes`` to ``max_bytes`` bytes.
        """
        return self._policies.check(fields, now)

    def _url(self, method: str, path: str, ttl: int, mime: str) -> str:
        query = urlencode({"expires": str(int(self._clock()) + ttl), "mime": mime})
        return f"{self._files_url}/{path}?{query}&signature={self._signature(method, path, query)}"

    def _signature(self, method: str, path: str, query: str) -> str:
        return hmac.digest(self._url_key, f"{method}\n{path}\n{query}".encode(), "sha256").hex()

    def _check(self, method: str, path: str, params: Mapping[str, str], now: float) -> None:
        if params.keys() != {"expires", "mime", "signature"}:
            raise SignatureMismatch(_NOT_OURS)
        signed = {name: params[name] for name in ("expires", "mime")}
        query = urlencode(signed, errors="surrogatepass")
        expected = self._signature(method, path, query)
        given = params["signature"].encode(errors="replace")
        if not hmac.compare_digest(expected.encode(), given):
            raise SignatureMismatch(_NOT_OURS)
        if now >= int(params["expires"]):
            raise AccessExpired("The link has expired. Ask for a new one.")


# Fields that no policy condition has to name. S3 says so of the first three; `submit` is the
# button of a plain HTML form, and the type of a file is what its bytes say.
_OUTSIDE_POLICY = {"policy", "x-amz-signature", "file", "submit", "content-type"}
_REQUIRED = ("key", "policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date")


class PolicyChecker:
    """Checks forms that `signed_form` made with the same signer and credentials."""

    def __init__(self, signer: Signer, credentials: Credentials) -> None:
        self._signer = signer
        self._credentials = credentials

    def check(self, fields: Mapping[str, str], now: float) -> AcceptedPost:
        """Check the fields that came before the file. Names count in any case, as on S3.

        Raises `FieldMissing`, `FieldRefused`, `SignatureMismatch` or `AccessExpired`.
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
        for name, value in form.items():
            if name in _OUTSIDE_POLICY or name.startswith("x-ignore-"):
                continue
            if name not in exact:
                raise FieldRefused(name, f"The policy does not allow the field {name!r}.")
            if value != exact[name]:
                raise FieldRefused(name, f"The policy promises another value of {name!r}.")
        return AcceptedPost(form["key"], min_bytes, max_bytes)

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
