"""Signed URLs and upload forms of the local storage, like presigning on S3.

A download URL is ``{public_url}/files/{key}/{filename}?expires=…&mime=…&signature=…``, and one for
a PUT the same without the file name. The signature is an HMAC-SHA256 over the method, the key and
every parameter, so none can be changed. It needs no table of issued links, and stays valid across
restarts and processes that share the secret.

The upload form is posted to ``{public_url}/files``. Its fields and its policy are written as S3's
(https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTForms.html), so that a client handles
both alike; its signature is the same HMAC. S3's rules hold: the names of fields count in any case,
and a field that the policy does not name is refused.

The checks are independent of HTTP: the api layer passes what it received. They raise `Refused`
(``access_refused``, ``access_expired`` and ``missing_field``), which it answers as S3 does.
"""

import base64
import hmac
import json
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

from jan_media.errors import Refused
from jan_media.media_id import parse_media_id
from jan_media.storage.interface import PresignedPost, require_filename, require_key

# The value that the API page's curl example sends with every form.
_ALGORITHM = "AWS4-HMAC-SHA256"
# Fields that a policy does not have to name. S3 says so of `file`; `submit` is the button of a
# plain HTML form, and the type of a file is what its bytes say.
_OUTSIDE_POLICY = {"file", "submit", "content-type"}


class LocalUrls:
    """Signs and checks. ``secret`` is at least 16 random bytes; ``clock`` gives Unix seconds."""

    def __init__(
        self, public_url: str, secret: bytes, *, clock: Callable[[], float] = time.time
    ) -> None:
        if len(secret) < 16:
            raise ValueError("the secret of local URLs needs at least 16 bytes")
        self._files_url = public_url.rstrip("/") + "/files"
        parts = urlsplit(self._files_url)
        self._origin = f"{parts.scheme}://{parts.netloc}".lower()
        self._files_path = parts.path + "/"
        self._clock = clock
        self._key = hmac.digest(secret, b"jan-media local url", "sha256")

    def presign_get(self, key: str, *, mime: str, filename: str, ttl: int) -> str:
        """See `interface.Storage.presign_get`."""
        return self._url("GET", f"{require_key(key)}/{require_filename(filename)}", ttl, mime)

    def media_id_of_url(self, url: str) -> str | None:
        """See `interface.Storage.media_id_of_url`."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        if origin != self._origin or not parts.path.startswith(self._files_path):
            return None
        return parse_media_id(parts.path.rpartition("/")[2].partition(".")[0])

    def presign_put(self, key: str, *, mime: str, ttl: int) -> str:
        """See `interface.TakesUploads.presign_put`."""
        return self._url("PUT", require_key(key), ttl, mime)

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

    def check_url(self, method: str, path: str, params: Mapping[str, str], now: float) -> str:
        """Check a GET or PUT of ``/files/{path}`` with the decoded query ``params``.

        ``now`` is in Unix seconds. Returns the content type that was signed. Raises `Refused`.
        """
        not_ours = Refused(
            "access_refused", "The link is not one that we signed. Ask for a new one."
        )
        if params.keys() != {"expires", "mime", "signature"}:
            raise not_ours
        signed = {name: params[name] for name in ("expires", "mime")}
        query = urlencode(signed, errors="surrogatepass")
        if not self._signed(params["signature"], method, path, query):
            raise not_ours
        if now >= int(params["expires"]):
            raise Refused("access_expired", "The link has expired. Ask for a new one.")
        return params["mime"]

    def check_post(self, fields: Mapping[str, str], now: float) -> tuple[str, int]:
        """Check the form fields that came before the file; those after it do not count.

        Returns the key, and how many bytes the file may have. Raises `Refused`.
        """
        form: dict[str, str] = {}
        for name, value in fields.items():
            if name.lower() in form:
                raise _refused(name, f"The field {name!r} is there twice.")
            form[name.lower()] = value
        _require(form, ("policy", "x-amz-signature"))
        policy, signature = form.pop("policy"), form.pop("x-amz-signature")
        # Parse only what we have signed ourselves.
        if not self._signed(signature, "POST", policy):
            raise Refused("access_refused", "The policy's signature is not ours.")
        promise = json.loads(base64.b64decode(policy))
        *exact, (_, _, max_bytes) = promise["conditions"]
        promised = {name: value for condition in exact for name, value in condition.items()}
        _require(form, promised)
        if now >= datetime.fromisoformat(promise["expiration"]).timestamp():
            raise Refused("access_expired", "The upload form has expired. Ask for a new one.")
        for name, value in form.items():
            if name in _OUTSIDE_POLICY or name.startswith("x-ignore-"):
                continue
            if name not in promised:
                raise _refused(name, f"The policy does not allow the field {name!r}.")
            if value != promised[name]:
                raise _refused(name, f"The policy promises another value of {name!r}.")
        return form["key"], max_bytes

    def _url(self, method: str, path: str, ttl: int, mime: str) -> str:
        query = urlencode({"expires": str(int(self._clock()) + ttl), "mime": mime})
        return f"{self._files_url}/{path}?{query}&signature={self._signature(method, path, query)}"

    def _signature(self, method: str, *signed: str) -> str:
        text = "\n".join((method, *signed))
        return hmac.digest(self._key, text.encode(errors="replace"), "sha256").hex()

    def _signed(self, given: str, method: str, *signed: str) -> bool:
        """Whether ``given`` is our signature."""
        expected = self._signature(method, *signed)
        return hmac.compare_digest(expected.encode(), given.encode(errors="replace"))


def _refused(field: str, message: str) -> Refused:
    return Refused("access_refused", message, field)


def _require(form: Mapping[str, str], fields: Iterable[str]) -> None:
    for field in fields:
        if field not in form:
            raise Refused("missing_field", f"{field!r} is missing.", field)
