"""Both storages, each served for real, as one kind of thing for the contract suites."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jan_media.settings import Reader, S3Settings
from jan_media.storage.interface import PresignedPost, Storage, TakesUploads
from jan_media.storage.local import LocalStorage
from jan_media.storage.s3 import S3Storage

from tests.support.ceph import ACCESS_KEY, REGION, SECRET_KEY, Ceph
from tests.support.sidecar import running_sidecar

Clock = Callable[[], float]
URL_SECRET = "a secret of the tests, 32 bytes."


class TakingUploads(Storage, Protocol):
    """What both storages are."""

    @property
    def uploads(self) -> TakesUploads: ...


@dataclass(frozen=True, slots=True)
class Served:
    """A storage, and the same one signing by another clock (what is "expired" needs no wait)."""

    name: str
    storage: TakingUploads
    signing_in_the_past: Callable[[], TakingUploads]  # as if it were an hour ago


@contextmanager
def local(folder: Path) -> Iterator[Served]:
    """A local storage, and a sidecar on the same folder that honours its URLs and forms."""
    with running_sidecar(folder, URL_SECRET=URL_SECRET) as sidecar:

        def signing_at(clock: Clock) -> LocalStorage:
            return LocalStorage(
                folder / "objects",
                public_url=sidecar.public_url,
                secret=URL_SECRET.encode(),
                clock=clock,
            )

        yield Served("local", signing_at(time.time), lambda: signing_at(an_hour_ago))


def an_hour_ago() -> float:
    return time.time() - 3600


class InThePast(S3Storage):
    """Its forms, which boto3 dates, end as if they had been signed an hour ago."""

    def presign_post(self, key: str, *, max_bytes: int, ttl: int) -> PresignedPost:
        return super().presign_post(key, max_bytes=max_bytes, ttl=ttl - 3600)


@contextmanager
def s3(ceph: Ceph) -> Iterator[Served]:
    """An S3 storage on a fresh bucket of the Ceph gateway."""
    bucket = ceph.new_bucket()
    storage = s3_storage(ceph, bucket)
    others: list[S3Storage] = []

    def signing_in_the_past() -> S3Storage:
        others.append(s3_storage(ceph, bucket, clock=an_hour_ago, kind=InThePast))
        return others[-1]

    try:
        yield Served("s3", storage, signing_in_the_past)
    finally:
        for opened in (storage, *others):
            opened.close()


def keys_of(storage: Storage, prefix: str = "") -> list[str]:
    """Every key below ``prefix`` that is stored, found behind the storage's back."""
    if isinstance(storage, S3Storage):
        pages = storage.client.get_paginator("list_objects_v2").paginate(
            Bucket=storage.bucket, Prefix=prefix
        )
        return [each["Key"] for page in pages for each in page.get("Contents", [])]
    assert isinstance(storage, LocalStorage)
    files = (path.name for path in storage.root.glob("??/*"))
    return [key for name in files if (key := name.replace(",", "/")).startswith(prefix)]


def s3_storage(
    ceph: Ceph,
    bucket: str,
    *,
    clock: Clock = time.time,
    kind: type[S3Storage] = S3Storage,
    access_key: str = ACCESS_KEY,
    secret_key: str = SECRET_KEY,
    endpoint: str = "",
    public_endpoint: str = "",
    read_timeout: float = 7.0,
    attempts: int = 2,
    multipart_threshold: int = 64 * 1024 * 1024,
    part_size: int = 5 * 1024 * 1024,
) -> S3Storage:
    """An S3 storage on the Ceph gateway, with the settings that the tests vary."""
    return kind(
        s3_settings(
            bucket=bucket,
            endpoint=endpoint or ceph.endpoint,
            public_endpoint=public_endpoint,
            access_key=access_key,
            secret_key=secret_key,
            use_path_style=True,
        ),
        read_timeout=read_timeout,
        attempts=attempts,
        multipart_threshold=multipart_threshold,
        part_size=part_size,
        clock=clock,
    )


def s3_settings(
    *,
    bucket: str = "media",
    region: str = REGION,
    endpoint: str = "",
    public_endpoint: str = "",
    access_key: str = "A",
    secret_key: str = "S",
    use_path_style: bool = False,
) -> S3Settings:
    """Settings of S3 of which a test says what matters."""
    s3 = S3Settings(Reader({}))
    s3.endpoint, s3.public_endpoint = endpoint, public_endpoint
    s3.region, s3.bucket = region, bucket
    s3.access_key, s3.secret_key = access_key, secret_key
    s3.use_path_style = use_path_style
    return s3
