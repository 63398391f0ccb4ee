"""Objects in a bucket of S3 or of a service that speaks its protocol.

How the contract is kept
    S3 itself promises what `interface.Storage` does: a PUT is atomic and durable when it is
    answered, and reads see it at once. What is left to this module:

    ``put`` streams from the source: at most a chunk of the object is held in memory.
    From ``multipart_threshold`` on it is sent in parts, so a retry repeats one part and not all.
    ``copy`` is one CopyObject, done by the service and atomic. The size is read from the target,
    not from the source, which a client may have rewritten in between. (CopyObject's condition on
    the source's ETag is no way to tie them: RGW checks it before it opens the version to copy.)
    CopyObject takes up to 5 GiB, and so do the forms and PUTs by which a source gets there.
    ``read`` is one GET of one version, so bytes of two objects never mix.
    Presigned URLs and forms are computed by `sigv4`, for the public endpoint.

Permissions (IAM actions)
    On ``arn:aws:s3:::BUCKET``: ``s3:ListBucket`` (without it S3 answers 403, not 404, for an
    object that is missing), ``s3:GetBucketCORS`` (only for ``jan-media doctor``).
    On ``arn:aws:s3:::BUCKET/*``: ``s3:GetObject``, ``s3:PutObject``, ``s3:DeleteObject``,
    ``s3:AbortMultipartUpload``.
    The bucket needs no public access: everything is read by signed URLs.

CORS, for browsers that upload or fetch with JavaScript
    The bucket must allow ``GET``, ``PUT`` and ``POST`` from the site's origin, with the header
    ``content-type``, and should expose ``ETag``. `s3_diagnosis` checks it and prints a rule.

Timeouts and retries
    ``connect_timeout`` and ``read_timeout`` are those of one attempt; ``attempts`` counts all of
    them. With the defaults a service that accepts connections and says nothing costs a caller
    under 20 seconds. Refusals are not retried, throttling and 5xx are.

Beware
    A form without a ``Content-Type`` field is refused, since the policy promises the type.
    A presigned PUT cannot limit the size; only the form can. The library measures either way.
    A process killed during a multipart upload leaves parts that are not listed as objects. Give
    the bucket a lifecycle rule ``AbortIncompleteMultipartUpload`` of one day.
    Versioning keeps every deleted object: leave it off, or expire old versions by a rule.
    Services older than 2025 do not know the checksum trailers that botocore sends by default;
    they are sent only where the protocol demands them.
"""

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from typing import TYPE_CHECKING, BinaryIO

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.httpsession import get_cert_path
from botocore.response import StreamingBody
from botocore.utils import get_environ_proxies

from jan_media.storage.disposition import inline_disposition
from jan_media.storage.interface import (
    CHUNK,
    ObjectMissing,
    PresignedPost,
    PresignedPut,
    StorageUnavailable,
)
from jan_media.storage.kept_connections import KeptConnections
from jan_media.storage.keys import require_key
from jan_media.storage.post_policy import signed_form
from jan_media.storage.s3_address import bucket_address
from jan_media.storage.s3_credentials import CurrentCredentials
from jan_media.storage.s3_endpoints import keep_called_services
from jan_media.storage.s3_failures import failures_mapped, status_of
from jan_media.storage.s3_operations import keep_called_operations
from jan_media.storage.s3_small_put import SmallPut
from jan_media.storage.sigv4 import Signer
from jan_media.storage.window import Window, window_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

MIB = 1024 * 1024
_MOST_PARTS = 10_000
_MOST_DELETIONS = 1000  # of one DeleteObjects request


@dataclass(frozen=True, slots=True)
class _S3Reading:
    total: int
    _body: StreamingBody | None

    def chunks(self) -> Iterator[bytes]:
        while self._body is not None:
            with failures_mapped("a read"):
                chunk = self._body.read(CHUNK)
            if not chunk:
                return
            yield chunk


class S3Storage:
    """A `Storage` in ``bucket``. See the module for how it keeps the contract."""

    def __init__(
        self,
        bucket: str,
        *,
        region: str,
        endpoint: str | None = None,
        public_endpoint: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        path_style: bool = False,
        connect_timeout: float = 2.0,
        read_timeout: float = 7.0,
        attempts: int = 2,
        connections: int = 64,
        multipart_threshold: int = 64 * MIB,
        part_size: int = 16 * MIB,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``endpoint`` is AWS's of ``region`` if None, ``public_endpoint`` is ``endpoint``.

        Without ``access_key`` the credentials come from the usual AWS chain. Timeouts are in
        seconds, sizes in bytes; S3 takes parts from 5 MiB on. Does no I/O, except what the AWS
        chain needs to find credentials; raises `StorageUnavailable` if it finds none and
        `ValueError` for an endpoint that cannot be.
        """
        settings = botocore.session.get_session()
        keep_called_services(settings)
        keep_called_operations(settings)
        session = boto3.session.Session(
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name=region,
            botocore_session=settings,
        )
        with failures_mapped("the look-up of credentials"):
            credentials = session.get_credentials()
            if credentials is None:
                raise NoCredentialsError
            self._credentials = CurrentCredentials(credentials)
        self.client: S3Client = session.client(
            "s3",
            endpoint_url=endpoint,
            config=Config(
                signature_version="s3v4",
                connect_timeout=connect_timeout,
                read_timeout=read_timeout,
                retries={"mode": "standard", "total_max_attempts": attempts},
                max_pool_connections=connections,
                s3={"addressing_style": "path" if path_style else "virtual"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        self.bucket = bucket
        self._public = bucket_address(
            public_endpoint or self.client.meta.endpoint_url, bucket, path_style=path_style
        )
        self._signer = Signer(region)
        reached_at = self.client.meta.endpoint_url
        bucket_at = bucket_address(reached_at, bucket, path_style=path_style)
        self._connections = KeptConnections(
            bucket_at.origin,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            tls=_tls(settings) if reached_at.startswith("https:") else None,
        )
        self._small_put = SmallPut(
            self._connections,
            bucket_at,
            self._signer,
            self._credentials.get,
            attempts=attempts,
            clock=clock,
        )
        # Proxies are left to boto3: then no object is small.
        self._small = -1 if get_environ_proxies(reached_at) else CHUNK
        self._multipart_threshold = multipart_threshold
        self._part_size = part_size
        self._clock = clock

    def check(self) -> None:
        with failures_mapped("a look at the bucket"):
            # Not HeadBucket: an answer to HEAD has no body, so no reason either.
            self.client.list_objects_v2(Bucket=self.bucket, MaxKeys=1)

    def disconnect(self) -> None:
        self._connections.disconnect()
        self.client.close()

    def close(self) -> None:
        self._credentials.close()
        self._connections.close()
        self.client.close()

    def put(
        self, key: str, source: BinaryIO, *, size: int, mime: str, sha256: str | None = None
    ) -> None:
        require_key(key)
        window = window_of(source, size)
        with failures_mapped("an upload"):
            if size <= self._small:
                self._small_put.put(key, source.read(size), mime=mime, sha256=sha256)
                return
            if size >= self._multipart_threshold:
                self._put_parts(key, source, window, mime)
                return
            self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=BufferedReader(window, CHUNK),
                ContentLength=size,
                ContentType=mime,
            )

    @contextmanager
    def read(self, key: str, *, start: int = 0, stop: int | None = None) -> Iterator[_S3Reading]:
        require_key(key)
        opened = None if stop is not None and stop <= start else self._open(key, start, stop)
        if opened is None:  # an empty range, for which the protocol has no request
            total = self.size(key)
            if total is None:
                raise ObjectMissing(key)
            yield _S3Reading(total, None)
            return
        total, body = opened
        try:
            yield _S3Reading(total, body)
        finally:
            body.close()

    def size(self, key: str) -> int | None:
        with suppress(ObjectMissing):
            return self._size(key)
        return None

    def copy(self, source: str, target: str, *, mime: str) -> int:
        with failures_mapped("a copy", source):
            self.client.copy_object(
                Bucket=self.bucket,
                Key=require_key(target),
                CopySource={"Bucket": self.bucket, "Key": require_key(source)},
                MetadataDirective="REPLACE",
                ContentType=mime,
            )
        return self._size(target)

    def delete(self, keys: Sequence[str]) -> None:
        for first in range(0, len(keys), _MOST_DELETIONS):
            self._delete_batch([require_key(key) for key in keys[first : first + _MOST_DELETIONS]])

    def keys(self, prefix: str = "") -> Iterator[str]:
        pages = iter(
            self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        )
        while True:
            with failures_mapped("a listing"):
                page = next(pages, None)
            if page is None:
                return
            yield from (entry["Key"] for entry in page.get("Contents", []))

    def presign_get(self, key: str, *, mime: str, filename: str, ttl: int) -> str:
        return self._presign(
            "GET",
            key,
            ttl,
            query={
                "response-content-disposition": inline_disposition(filename),
                "response-content-type": mime,
            },
        )

    def presign_put(self, key: str, *, mime: str, ttl: int) -> PresignedPut:
        return PresignedPut(
            self._presign("PUT", key, ttl, content_type=mime), {"Content-Type": mime}
        )

    def presign_post(self, key: str, *, mime: str, max_bytes: int, ttl: int) -> PresignedPost:
        fields = signed_form(
            self._signer,
            self._credentials.get(),
            key=require_key(key),
            mime=mime,
            max_bytes=max_bytes,
            ttl=ttl,
            now=self._clock(),
            bucket=self.bucket,
        )
        return PresignedPost(self._public.origin + self._public.path, fields)

    def _presign(
        self,
        method: str,
        key: str,
        ttl: int,
        *,
        query: dict[str, str] | None = None,
        content_type: str | None = None,
    ) -> str:
        return self._signer.presign(
            self._credentials.get(),
            method,
            origin=self._public.origin,
            host=self._public.host,
            path=f"{self._public.path}/{require_key(key)}",
            ttl=ttl,
            now=self._clock(),
            query=query,
            content_type=content_type,
        )

    def _open(self, key: str, start: int, stop: int | None) -> tuple[int, StreamingBody] | None:
        """The object's total size and the body of the range; None if the range is empty."""
        span = f"bytes={start}-{'' if stop is None else stop - 1}"
        with failures_mapped("a read", key):
            try:
                if start == 0 and stop is None:
                    answer = self.client.get_object(Bucket=self.bucket, Key=key)
                else:
                    answer = self.client.get_object(Bucket=self.bucket, Key=key, Range=span)
            except ClientError as error:
                if status_of(error) == 416:
                    return None
                raise
        _, _, total = answer.get("ContentRange", "").partition("/")
        return int(total or answer["ContentLength"]), answer["Body"]

    def _size(self, key: str) -> int:
        with failures_mapped("a look at an object", require_key(key)):
            return self.client.head_object(Bucket=self.bucket, Key=key)["ContentLength"]

    def _put_parts(self, key: str, source: BinaryIO, whole: Window, mime: str) -> None:
        size = len(whole)
        part_size = max(self._part_size, -(-size // _MOST_PARTS))
        upload_id = self.client.create_multipart_upload(
            Bucket=self.bucket, Key=key, ContentType=mime
        )["UploadId"]
        try:
            parts: list[CompletedPartTypeDef] = []
            for number, first in enumerate(range(0, size, part_size), start=1):
                length = min(part_size, size - first)
                part = self.client.upload_part(
                    Bucket=self.bucket,
                    Key=key,
                    UploadId=upload_id,
                    PartNumber=number,
                    Body=BufferedReader(Window(source, whole.start + first, length), CHUNK),
                    ContentLength=length,
                )
                parts.append({"PartNumber": number, "ETag": part["ETag"]})
            self.client.complete_multipart_upload(
                Bucket=self.bucket,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": parts},
            )
        except BaseException:
            with suppress(Exception):  # the first failure is the one to report
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)
            raise

    def _delete_batch(self, keys: Sequence[str]) -> None:
        with failures_mapped("a deletion"):
            answer = self.client.delete_objects(
                Bucket=self.bucket,
                Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
            )
        failed = [error for error in answer.get("Errors", []) if error.get("Code") != "NoSuchKey"]
        if failed:
            raise StorageUnavailable(
                f"S3 refused to delete {len(failed)} of {len(keys)} objects: "
                f"{failed[0].get('Code')}."
            )


def _tls(settings: botocore.session.Session) -> ssl.SSLContext:
    """TLS with the certificates that boto3 trusts: those of AWS_CA_BUNDLE, or certifi's."""
    bundle = settings.get_config_variable("ca_bundle") or get_cert_path(True)
    return ssl.create_default_context(cafile=bundle)
