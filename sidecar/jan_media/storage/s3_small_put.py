"""PutObject of an object that fits in memory: what nearly every upload of an image costs.

The same request as boto3's ``put_object`` makes, retried by the same rules (botocore's "standard"
mode), over connections of its own. boto3 resolves the endpoint, runs some dozen hooks, and has
the answer read by urllib3: five sixths of the processor time of such an upload.

The signature covers the body, so the service refuses what arrives damaged.
"""

import hashlib
import random
import re
import time
from collections.abc import Callable

from botocore.exceptions import ClientError

from jan_media.storage.kept_connections import KeptConnections
from jan_media.storage.s3_address import BucketAddress
from jan_media.storage.s3_failures import error_code, status_of
from jan_media.storage.sigv4 import Credentials, Signer

_CODE = re.compile(rb"<Code>([^<]{1,100})</Code>")
_PASSING = {"RequestTimeout", "PriorRequestNotComplete", "SlowDown", "Throttling"}
_PASSING_STATUS = {429, 500, 502, 503, 504}


class SmallPut:
    """Writes objects of one bucket, each in one request. For use by any number of threads."""

    def __init__(
        self,
        connections: KeptConnections,
        address: BucketAddress,
        signer: Signer,
        credentials: Callable[[], Credentials],
        *,
        attempts: int,
        clock: Callable[[], float],
    ) -> None:
        self._connections = connections
        self._address = address
        self._signer = signer
        self._credentials = credentials
        self._attempts = attempts
        self._clock = clock

    def put(self, key: str, body: bytes, *, mime: str, sha256: str | None = None) -> None:
        """Write ``body`` (of that hash, if it is known) under ``key``; durable when it returns.

        Raises `ClientError` if the service refuses and `OSError` if it does not answer, after the
        last of the attempts.
        """
        digest = sha256 or hashlib.sha256(body).hexdigest()
        for attempt in range(1, self._attempts):
            try:
                self._try(key, body, mime, digest)
                return
            except OSError:
                pass
            except ClientError as error:
                if error_code(error) not in _PASSING and status_of(error) not in _PASSING_STATUS:
                    raise
            time.sleep(random.random() * 2 ** (attempt - 1))  # noqa: S311 (spreads attempts)
        self._try(key, body, mime, digest)

    def _try(self, key: str, body: bytes, mime: str, digest: str) -> None:
        path = f"{self._address.path}/{key}"
        headers = self._signer.authorize(
            self._credentials(),
            "PUT",
            host=self._address.host,
            path=path,
            headers={"content-type": mime},
            body_sha256=digest,
            now=self._clock(),
        )
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = (
            f"PUT {path} HTTP/1.1\r\nhost: {self._address.host}\r\n{fields}"
            f"content-length: {len(body)}\r\n\r\n"
        )
        answer = self._connections.exchange(head.encode("latin-1") + body)
        if answer.status != 200:
            code = _CODE.search(answer.body)
            raise ClientError(
                {
                    "Error": {"Code": code[1].decode() if code else str(answer.status)},
                    "ResponseMetadata": {"HTTPStatusCode": answer.status},  # type: ignore[typeddict-item]
                },
                "PutObject",
            )
