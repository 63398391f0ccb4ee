"""Signed URLs and upload forms of the local storage: what presigning is on S3.

A download URL is ``{public_url}/files/{key}/{filename}?expires=…&mime=…&signature=…``, and one for
a PUT the same without the file name. The signature is an HMAC-SHA256 over the method, the key and
every parameter, so none can be exchanged; it needs no table of issued links and holds across
restarts and processes that share the secret.

The upload form is posted to ``{public_url}/files``. Its fields and its policy are written as S3's
(https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTForms.html), so that a client handles
both alike; its signature is the same HMAC. S3's rules hold: the names of fields count in any case,
and a field that the policy does not name is refused.

The checkers know nothing of HTTP: the api layer gives them what it received, and answers
`FieldMissing` with 400 and every other `AccessRefused` with 403, as S3 does. The messages are for
the client: they say what to do and show no secret.
"""

import base64
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

from jan_media.errors import Refused
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

_NOT_OURS = "The link is not one that we signed. Ask for a new one."
# What the API page's curl example sends with every form.
_ALGORITHM = "AWS4-HMAC-SHA256"
# Fields that a policy does not have to name. S3 says so of `file`; `submit` is the button of a
# plain HTML form, and the type of a file is what its bytes say.
_OUTSIDE_POLICY = {"file", "submit", "content-type"}


class AccessRefused(Refused):
    """The signed URL or form does not allow this request."""

    code = "access_refused"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(self.code, message, param)


class AccessExpired(AccessRefused):
    """It was valid once. A new one must be asked for."""

    code = "access_expired"


class SignatureMismatch(AccessRefused):
    """It was not signed by us, or not for this method, key or value."""


class FieldMissing(AccessRefused):
    """A form lacks a field that it cannot do without."""

    code = "missing_field"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is missing.", name)


class FieldRefused(AccessRefused):
    """A form field (or the Content-Type of a PUT) is not what was signed."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message, name)


@dataclass(frozen=True, slots=True)
class AcceptedGet:
    """What a valid download URL allows: serve ``key`` as ``mime``, named ``filename``."""

    key: str
    mime: str
    filename: str


@dataclass(frozen=True, slots=True)
class AcceptedPost:
    """What a valid form allows. The file's size is still to be held against the limit."""

    key: str
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
        self._key = hmac.digest(secret, b"jan-media local url", "sha256")

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
        now = int(self._clock())
        fields = {
            "key": require_key(key),
            "x-amz-algorithm": _ALGORITHM,
            "x-amz-credential": "jan-media",
            "x-amz-date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)),
        }
        end = datetime.fromtimestamp(now + ttl, UTC).isoformat()
        exact = [{name: value} for name, value in fields.items()]
        promise = {
            "expiration": end.replace("+00:00", "Z"),
            "conditions": [*exact, ["content-length-range", 1, max_bytes]],
        }
        policy = base64.b64encode(json.dumps(promise).encode()).decode()
        signature = self._signature("POST", policy)
        return PresignedPost(
            self._files_url, {**fields, "policy": policy, "x-amz-signature": signature}
        )

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
    ) -> None:
        """Check a PUT of ``/files/{key}`` that carries this Content-Type header.

        Raises like `check_get`, and `FieldRefused` for another content type than was signed.
        """
        if not is_key(key):
            raise SignatureMismatch(_NOT_OURS)
        self._check("PUT", key, params, now)
        if content_type != params["mime"]:
            raise FieldRefused("Content-Type", f"Send it with Content-Type: {params['mime']}.")

    def check_post(self, fields: Mapping[str, str], now: float) -> AcceptedPost:
        """Check the form fields that came before the file; those after it do not count.

        Raises `FieldMissing`, `FieldRefused`, `SignatureMismatch`, `AccessExpired`. The caller
        then takes the file if it has 1 to ``max_bytes`` bytes.
        """
        form: dict[str, str] = {}
        for name, value in fields.items():
            if name.lower() in form:
                raise FieldRefused(name, f"The field {name!r} is there twice.")
            form[name.lower()] = value
        policy, signature = _taken(form, "policy"), _taken(form, "x-amz-signature")
        # Only what we signed ourselves is parsed any further.
        self._require_signature(signature, "The policy's signature is not ours.", "POST", policy)
        promise = json.loads(base64.b64decode(policy))
        *exact, (_, _, max_bytes) = promise["conditions"]
        promised = {name: value for condition in exact for name, value in condition.items()}
        for name in promised:
            if name not in form:
                raise FieldMissing(name)
        if now >= datetime.fromisoformat(promise["expiration"]).timestamp():
            raise AccessExpired("The upload form has expired. Ask for a new one.")
        for name, value in form.items():
            if name in _OUTSIDE_POLICY or name.startswith("x-ignore-"):
                continue
            if name not in promised:
                raise FieldRefused(name, f"The policy does not allow the field {name!r}.")
            if value != promised[name]:
                raise FieldRefused(name, f"The policy promises another value of {name!r}.")
        return AcceptedPost(form["key"], max_bytes)

    def _url(self, method: str, path: str, ttl: int, mime: str) -> str:
        query = urlencode({"expires": str(int(self._clock()) + ttl), "mime": mime})
        return f"{self._files_url}/{path}?{query}&signature={self._signature(method, path, query)}"

    def _check(self, method: str, path: str, params: Mapping[str, str], now: float) -> None:
        if params.keys() != {"expires", "mime", "signature"}:
            raise SignatureMismatch(_NOT_OURS)
        signed = {name: params[name] for name in ("expires", "mime")}
        query = urlencode(signed, errors="surrogatepass")
        self._require_signature(params["signature"], _NOT_OURS, method, path, query)
        if now >= int(params["expires"]):
            raise AccessExpired("The link has expired. Ask for a new one.")

    def _signature(self, method: str, *signed: str) -> str:
        text = "\n".join((method, *signed))
        return hmac.digest(self._key, text.encode(errors="replace"), "sha256").hex()

    def _require_signature(self, given: str, refusal: str, method: str, *signed: str) -> None:
        expected = self._signature(method, *signed)
        if not hmac.compare_digest(expected.encode(), given.encode(errors="replace")):
            raise SignatureMismatch(refusal)


def _taken(form: dict[str, str], name: str) -> str:
    if name not in form:
        raise FieldMissing(name)
    return form.pop(name)
