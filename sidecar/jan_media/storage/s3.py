"""Objects in a bucket of S3 or of a service that speaks its protocol.

How the contract is kept
    S3 itself makes the promises of `interface.Storage`: a PUT is atomic, durable when it is
    answered, and visible to reads at once. What this module adds:

    ``put`` is boto3's ``upload_fileobj``: one PUT that streams from the source, or parts from
    ``multipart_threshold`` on, so that a retry repeats one part and not all. One part is in memory.
    ``copy`` is one CopyObject, done by the service and atomic. It takes up to 5 GiB, and so do the
    forms and PUTs by which a source gets there.
    ``read`` is one GET of one version, so bytes of two objects never mix.
    Presigned URLs are computed by `sigv4` and forms by boto3, for the public endpoint. A download
    URL names its media id in ``response-content-disposition``.

What it needs
    docs/operations.md lists permissions, CORS for web pages, and lifecycle rules: parts of an
    upload that died are not listed as objects, and versioning keeps every deleted one.

Credentials
    They are those of the settings, or of boto3's default chain. Temporary ones are renewed by boto3
    when they are next used, a quarter of an hour before their end: a presigned URL is good for
    about as long at most, whatever its own time says.

Timeouts and retries
    `CONNECT_TIMEOUT` and ``read_timeout`` are those of one attempt; ``attempts`` counts all of
    them. With the defaults, a service that accepts connections but never answers delays a caller
    by less than 20 seconds. Refusals are not retried; throttling and 5xx are.

Beware
    A form has no ``Content-Type`` field, and S3 refuses one, as it does every field that the policy
    does not name: the bytes determine the type.
    A presigned PUT cannot limit the size; only the form can. The library measures either way.
    Services older than 2025 do not support the checksum trailers that botocore sends by default;
    they are sent only where the protocol requires them.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import parse_qs, urlsplit

import boto3
from boto3.s3.transfer import TransferConfig
from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError
from botocore.response import StreamingBody
from s3transfer.utils import ReadFileChunk

from jan_media.doctor.finding import Finding
from jan_media.log import about
from jan_media.media_id import parse_media_id
from jan_media.settings import S3Settings
from jan_media.storage.interface import (
    CHUNK,
    ObjectMissing,
    PresignedPost,
    Storage,
    StorageUnavailable,
    TakesUploads,
    require_filename,
    require_key,
)
from jan_media.storage.s3_failures import failures_mapped
from jan_media.storage.sigv4 import presign

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectRequestTypeDef

MIB = 1024 * 1024
CONNECT_TIMEOUT = 2.0  # seconds
CONNECTIONS = 64
# For this time after `renew_credentials`, signing never waits. Near the end of temporary
# credentials, boto3 requests new ones at each use, and an unavailable issuer takes seconds.
FRESH_SECONDS = 60.0
_MOST_DELETIONS = 1000  # of one DeleteObjects request
_FILENAME = re.compile(r'filename="([^".]*)[^"]*"')  # up to its first dot


class _Rest(ReadFileChunk):
    """A file from its position on. It stays open: its owner may put it again."""

    def close(self) -> None:
        pass


class S3Storage(Storage):
    """A `Storage` in ``bucket``. See the module for how it keeps the contract."""

    def __init__(
        self,
        s3: S3Settings,
        *,
        read_timeout: float = 7.0,
        attempts: int = 2,
        multipart_threshold: int = 64 * MIB,
        part_size: int = 16 * MIB,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """The default endpoint is AWS's in the region, and the default public endpoint is the
        endpoint.

        Without an access key the credentials come from the usual AWS chain. ``read_timeout`` is in
        seconds, sizes in bytes; S3 takes parts from 5 MiB on. Does no I/O, except what the AWS
        chain needs to find credentials; raises `StorageUnavailable` if it finds none and
        `ValueError` for an invalid endpoint.
        """
        session = boto3.Session(
            aws_access_key_id=s3.access_key or None,
            aws_secret_access_key=s3.secret_key or None,
            region_name=s3.region,
        )
        with failures_mapped("the look-up of credentials"):
            credentials = session.get_credentials()
            if credentials is None:
                raise NoCredentialsError
            self._credential_source = credentials
        self._credentials: ReadOnlyCredentials  # as of the last renewal
        self._fresh_until = 0.0  # seconds of the monotonic clock
        config = Config(
            signature_version="s3v4",
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=read_timeout,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=CONNECTIONS,
            s3={"addressing_style": "path" if s3.use_path_style else "virtual"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        self.client: S3Client = session.client(
            "s3", endpoint_url=s3.endpoint or None, config=config
        )
        self.client.meta.events.register("before-send.s3", _say_request)
        self.bucket = s3.bucket
        self._region = s3.region
        public = session.client(
            "s3",
            endpoint_url=s3.public_endpoint or s3.endpoint or None,
            config=config.merge(Config(signature_version=UNSIGNED)),
        )
        self._public_url = _bucket_url(public, s3.bucket)
        # Callers have threads already; more would not help.
        self._transfer = TransferConfig(
            multipart_threshold=multipart_threshold,
            multipart_chunksize=part_size,
            use_threads=False,
        )
        self._clock = clock

    @property
    def uploads(self) -> TakesUploads:
        return self

    def check(self) -> None:
        with failures_mapped("a look at the bucket"):
            # Not HeadBucket: a response to HEAD has no body, and so no reason.
            self.client.list_objects_v2(Bucket=self.bucket, MaxKeys=1)

    def close(self) -> None:
        self.client.close()

    def put(self, key: str, source: BinaryIO, *, mime: str) -> None:
        start, end = source.tell(), source.seek(0, os.SEEK_END)
        source.seek(start)
        with failures_mapped("an upload"):
            self.client.upload_fileobj(
                cast(BinaryIO, _Rest(source, end, end)),
                self.bucket,
                require_key(key),
                ExtraArgs={"ContentType": mime},
                Config=self._transfer,
            )

    @contextmanager
    def read(
        self, key: str, *, start: int = 0, stop: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        asked: GetObjectRequestTypeDef = {"Bucket": self.bucket, "Key": self._key(key)}
        # RGW may answer 500 to a range of an object that is being put again.
        if start or stop:
            asked["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        with failures_mapped("a read", key):
            body = self.client.get_object(**asked)["Body"]
        with closing(body):
            yield _pieces(body)

    def size(self, key: str) -> int | None:
        try:
            with failures_mapped("a look at an object", require_key(key)):
                return self.client.head_object(Bucket=self.bucket, Key=key)["ContentLength"]
        except ObjectMissing:
            return None

    def copy(self, source: str, target: str, *, mime: str) -> None:
        with failures_mapped("a copy", source):
            self.client.copy_object(
                Bucket=self.bucket,
                Key=require_key(target),
                CopySource={"Bucket": self.bucket, "Key": require_key(source)},
                MetadataDirective="REPLACE",
                ContentType=mime,
            )

    def delete(self, keys: Sequence[str]) -> None:
        for first in range(0, len(keys), _MOST_DELETIONS):
            batch = [require_key(key) for key in keys[first : first + _MOST_DELETIONS]]
            with failures_mapped("a deletion"):
                answer = self.client.delete_objects(
                    Bucket=self.bucket,
                    Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True},
                )
            failed = [each for each in answer.get("Errors", []) if each.get("Code") != "NoSuchKey"]
            if failed:
                raise StorageUnavailable(
                    f"S3 refused to delete {len(failed)} of {len(batch)} objects: "
                    f"{failed[0].get('Code')}."
                )

    def presign_get(self, key: str, *, mime: str, filename: str, ttl: int) -> str:
        disposition = f'inline; filename="{require_filename(filename)}"'
        query = {"response-content-disposition": disposition, "response-content-type": mime}
        return self._presign("GET", key, ttl, query)

    def media_id_of_url(self, url: str) -> str | None:
        try:
            parts = urlsplit(url)
            named = parse_qs(parts.query, max_num_fields=50).get("response-content-disposition", [])
        except ValueError:
            return None
        address = f"{parts.scheme}://{parts.netloc.lower()}{parts.path}"
        if not address.startswith(f"{self._public_url}/") or len(named) != 1:
            return None
        filename = _FILENAME.search(named[0])
        return parse_media_id(filename[1]) if filename else None

    def presign_put(self, key: str, *, mime: str, ttl: int) -> str:
        return self._presign("PUT", key, ttl, content_type=mime)

    def presign_post(self, key: str, *, max_bytes: int, ttl: int) -> PresignedPost:
        with failures_mapped("the renewal of credentials"):
            form = self.client.generate_presigned_post(
                self.bucket,
                require_key(key),
                Conditions=[["content-length-range", 1, max_bytes]],
                ExpiresIn=ttl,
            )
        return PresignedPost(self._public_url, form["fields"])

    def diagnose(self) -> Iterator[Finding]:
        from jan_media.storage.s3_diagnosis import diagnose  # which only the doctor needs

        return diagnose(self)

    def renew_credentials(self) -> None:
        with failures_mapped("the renewal of credentials"):
            # boto3 renews old temporary credentials here, and waits for their issuer.
            credentials = self._credential_source.get_frozen_credentials()
            if not credentials.access_key or not credentials.secret_key:
                raise NoCredentialsError
        self._credentials = credentials
        self._fresh_until = time.monotonic() + FRESH_SECONDS

    def _key(self, key: str) -> str:
        """The bucket's key of an object to read."""
        return require_key(key)

    def _presign(
        self,
        method: str,
        key: str,
        ttl: int,
        query: dict[str, str] | None = None,
        content_type: str | None = None,
    ) -> str:
        if time.monotonic() >= self._fresh_until:
            self.renew_credentials()
        return presign(
            self._credentials,
            self._region,
            method,
            f"{self._public_url}/{require_key(key)}",
            ttl=ttl,
            now=self._clock(),
            query=query,
            content_type=content_type,
        )


def _pieces(body: StreamingBody) -> Iterator[bytes]:
    with failures_mapped("a read"):
        yield from iter(lambda: body.read(CHUNK), b"")


def _say_request(request: AWSPreparedRequest, **_: object) -> None:
    """Send the request id as the User-Agent, for the service's log."""
    known = about.get()
    if known is not None:
        request.headers["User-Agent"] = f"jan-media request/{known.request_id}"


def _bucket_url(client: "S3Client", bucket: str) -> str:
    """The bucket's address without a slash at its end, as boto3 writes it, and without a default
    port, which clients leave out of the Host header."""
    url = urlsplit(client.generate_presigned_url("head_bucket", Params={"Bucket": bucket}))
    host = url.netloc.removesuffix({"http": ":80", "https": ":443"}[url.scheme])
    return f"{url.scheme}://{host}{url.path.rstrip('/')}"
