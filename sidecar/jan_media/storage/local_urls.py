"""Signed URLs and upload forms of the local storage: what presigning is on S3.

A URL is ``{public_url}/files/{key}?expires=…&mime=…&filename=…&signature=…``. The signature is an
HMAC-SHA256 over the method, the key and every parameter, so none can be exchanged; it needs no
table of issued links and holds across restarts and processes that share the secret. The upload
form is S3's, see `post_policy`, and is posted to ``{public_url}/files``.

The checkers know nothing of HTTP: the api layer gives them what it received and lets
`refusals.AccessRefused` become an answer.
"""

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from jan_media.storage.interface import PresignedPost, PresignedPut
from jan_media.storage.keys import is_key, require_key
from jan_media.storage.post_policy import AcceptedPost, PolicyChecker, signed_form
from jan_media.storage.refusals import AccessExpired, FieldRefused, SignatureMismatch
from jan_media.storage.sigv4 import Credentials, Signer

_NOT_OURS = "The link is not one that we signed. Ask for a new one."


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


class LocalUrls:
    """Signs and checks. ``secret`` is at least 16 random bytes; ``clock`` gives Unix seconds."""

    def __init__(
        self, public_url: str, secret: bytes, *, clock: Callable[[], float] = time.time
    ) -> None:
        if len(secret) < 16:
            raise ValueError("the secret of local URLs needs at least 16 bytes")
        self._files_url = public_url.rstrip("/") + "/files"
        self._clock = clock
        # Independent keys for the two uses, so that neither signature can pass for the other.
        self._url_key = hmac.digest(secret, b"jan-media local url", "sha256")
        form_key = hmac.digest(secret, b"jan-media local form", "sha256")
        self._signer = Signer("local")
        self._credentials = Credentials("jan-media", form_key.hex())
        self._policies = PolicyChecker(self._signer, self._credentials)

    def presign_get(self, key: str, *, mime: str, filename: str, ttl: int) -> str:
        """See `interface.Storage.presign_get`."""
        return self._url("GET", key, ttl, {"mime": mime, "filename": filename})

    def presign_put(self, key: str, *, mime: str, ttl: int) -> PresignedPut:
        """See `interface.Storage.presign_put`."""
        return PresignedPut(self._url("PUT", key, ttl, {"mime": mime}), {"Content-Type": mime})

    def presign_post(self, key: str, *, mime: str, max_bytes: int, ttl: int) -> PresignedPost:
        """See `interface.Storage.presign_post`. The api layer enforces it by `check_post`."""
        fields = signed_form(
            self._signer,
            self._credentials,
            key=require_key(key),
            mime=mime,
            max_bytes=max_bytes,
            ttl=ttl,
            now=self._clock(),
        )
        return PresignedPost(self._files_url, fields)

    def check_get(self, key: str, params: Mapping[str, str], now: float) -> AcceptedGet:
        """Check a GET or HEAD of ``/files/{key}`` with the decoded query ``params``.

        ``now`` is in Unix seconds. Raises `SignatureMismatch` or `AccessExpired`.
        """
        self._check("GET", key, params, ("expires", "mime", "filename"), now)
        return AcceptedGet(key, params["mime"], params["filename"])

    def check_put(
        self, key: str, params: Mapping[str, str], content_type: str | None, now: float
    ) -> AcceptedPut:
        """Check a PUT of ``/files/{key}`` that carries this Content-Type header.

        Raises like `check_get`, and `FieldRefused` for another content type than was signed.
        """
        self._check("PUT", key, params, ("expires", "mime"), now)
        if content_type != params["mime"]:
            raise FieldRefused("Content-Type", f"Send it with Content-Type: {params['mime']}.")
        return AcceptedPut(key, params["mime"])

    def check_post(self, fields: Mapping[str, str], now: float) -> AcceptedPost:
        """Check the form fields that came before the file; those after it do not count.

        Raises `FieldMissing`, `FieldRefused`, `SignatureMismatch`, `AccessExpired`. The caller
        then takes the file if it has ``min_bytes`` to ``max_bytes`` bytes.
        """
        return self._policies.check(fields, now)

    def _url(self, method: str, key: str, ttl: int, named: Mapping[str, str]) -> str:
        query = urlencode({"expires": str(int(self._clock()) + ttl), **named})
        signature = self._signature(method, require_key(key), query)
        return f"{self._files_url}/{key}?{query}&signature={signature}"

    def _signature(self, method: str, key: str, query: str) -> str:
        return hmac.digest(self._url_key, f"{method}\n{key}\n{query}".encode(), "sha256").hex()

    def _check(
        self, method: str, key: str, params: Mapping[str, str], names: tuple[str, ...], now: float
    ) -> None:
        if not is_key(key) or params.keys() != {*names, "signature"}:
            raise SignatureMismatch(_NOT_OURS)
        query = urlencode({name: params[name] for name in names}, errors="surrogatepass")
        expected = self._signature(method, key, query)
        given = params["signature"].encode(errors="replace")
        if not hmac.compare_digest(expected.encode(), given):
            raise SignatureMismatch(_NOT_OURS)
        if now >= int(params["expires"]):
            raise AccessExpired("The link has expired. Ask for a new one.")
