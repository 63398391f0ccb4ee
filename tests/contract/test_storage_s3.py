"""The S3 storage's own promises: parts, retries, clear errors, bounds."""

import io
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import pytest
from botocore.credentials import RefreshableCredentials
from jan_media.storage.interface import StorageRefused, StorageUnavailable
from jan_media.storage.s3 import MIB, S3Storage

from tests.support.ceph import ACCESS_KEY, REGION, SECRET_KEY, Ceph
from tests.support.storages import s3_settings, s3_storage

PNG = "image/png"


@pytest.fixture(scope="module")
def bucket(ceph: Ceph) -> str:
    return ceph.new_bucket()


@pytest.fixture
def storage(ceph: Ceph, bucket: str) -> Iterator[S3Storage]:
    opened = s3_storage(ceph, bucket)
    yield opened
    opened.close()


def put(storage: S3Storage, key: str, data: bytes) -> None:
    storage.put(key, io.BytesIO(data), mime=PNG)


def get(storage: S3Storage, key: str) -> bytes:
    with storage.read(key) as pieces:
        return b"".join(pieces)


# --- parts


def test_a_large_object_is_sent_in_parts(ceph: Ceph, bucket: str) -> None:
    storage = s3_storage(ceph, bucket, multipart_threshold=8 * MIB, part_size=5 * MIB)
    data = bytes(range(256)) * (12 * 4096) + b"the end"
    source = io.BytesIO(b"before" + data)
    source.seek(6)

    storage.put("parts/large", source, mime=PNG)

    assert get(storage, "parts/large") == data
    head = ceph.client().head_object(Bucket=bucket, Key="parts/large")
    assert head["ETag"].endswith('-3"')  # the mark of an object made of three parts
    assert head["ContentType"] == PNG
    storage.copy("parts/large", "parts/copy", mime="image/gif")
    assert get(storage, "parts/copy") == data
    storage.close()


def test_closing_it_closes_its_connections(ceph: Ceph, bucket: str) -> None:
    storage = s3_storage(ceph, bucket)
    before = connections()
    storage.check()
    put(storage, "small/object", b"x")
    assert connections() > before
    storage.close()
    assert connections() <= before


def connections() -> set[str]:
    """The sockets that this process has open."""
    opened = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the listing itself
            opened.add(os.readlink(descriptor))
    return {each for each in opened if each.startswith("socket:")}


def test_parts_of_a_failed_upload_are_given_back(ceph: Ceph, bucket: str) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() >= 5 * MIB:
                raise OSError("the spool broke")
            return super().read(size)

    storage = s3_storage(ceph, bucket, multipart_threshold=8 * MIB, part_size=5 * MIB)

    with pytest.raises(StorageUnavailable):
        storage.put("parts/failed", Failing(bytes(10 * MIB)), mime=PNG)

    assert storage.size("parts/failed") is None
    uploads = ceph.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    assert [upload["Key"] for upload in uploads] == []
    storage.close()


def test_the_content_type_is_kept_with_the_object(
    ceph: Ceph, bucket: str, storage: S3Storage
) -> None:
    put(storage, "type/a", b"x")
    storage.copy("type/a", "type/b", mime="image/gif")

    client = ceph.client()
    assert client.head_object(Bucket=bucket, Key="type/a")["ContentType"] == PNG
    assert client.head_object(Bucket=bucket, Key="type/b")["ContentType"] == "image/gif"


# --- clear errors


@pytest.fixture
def stranger(ceph: Ceph) -> Iterator[S3Storage]:
    """Valid credentials of a user who has no right to the bucket."""
    access_key, secret_key = ceph.new_user()
    bucket = ceph.new_bucket()
    opened = s3_storage(ceph, bucket, access_key=access_key, secret_key=secret_key)
    yield opened
    opened.close()


def test_a_missing_bucket_is_said_with_what_to_do(ceph: Ceph) -> None:
    storage = s3_storage(ceph, "no-such-bucket")

    with pytest.raises(StorageRefused, match="does not exist: create it"):
        storage.check()
    with pytest.raises(StorageRefused, match="does not exist: create it"):
        put(storage, "a", b"x")
    storage.close()


def test_a_denied_bucket_is_said_with_what_to_do(stranger: S3Storage) -> None:
    for use in (
        stranger.check,
        lambda: put(stranger, "a", b"x"),
        lambda: get(stranger, "a"),
        lambda: stranger.size("a"),
        lambda: stranger.delete(["a"]),
    ):
        with pytest.raises(StorageRefused, match="grant them"):
            use()


def test_a_wrong_secret_is_said_with_what_to_do(ceph: Ceph, bucket: str) -> None:
    storage = s3_storage(ceph, bucket, secret_key="wrong")

    with pytest.raises(StorageRefused, match="MEDIA_S3_SECRET_KEY"):
        put(storage, "a", b"x")
    with pytest.raises(StorageRefused, match="MEDIA_S3_SECRET_KEY"):
        storage.check()
    storage.close()


def test_an_unknown_access_key_is_said_with_what_to_do(ceph: Ceph, bucket: str) -> None:
    storage = s3_storage(ceph, bucket, access_key="NOBODY")

    with pytest.raises(StorageRefused, match="MEDIA_S3_ACCESS_KEY"):
        put(storage, "a", b"x")
    storage.close()


def test_no_credentials_at_all_are_said_at_the_start(
    ceph: Ceph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(StorageRefused, match="MEDIA_S3_ACCESS_KEY and MEDIA_S3_SECRET_KEY"):
        s3_storage(ceph, "any-bucket", access_key="", secret_key="")


def test_credentials_come_from_the_aws_chain(
    ceph: Ceph, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    storage = s3_storage(ceph, bucket, access_key="", secret_key="")

    put(storage, "chain/a", b"x")

    url = storage.presign_get("chain/a", mime=PNG, filename="a.png", ttl=60)
    assert httpx.get(url).content == b"x"
    storage.close()


def test_an_endpoint_that_is_no_url_is_refused_at_the_start(ceph: Ceph) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        s3_storage(ceph, "any", endpoint="127.0.0.1:9000")


# --- connections


def open_sockets() -> set[str]:
    """The sockets of this process, each by the name that the kernel gave it."""
    targets = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the descriptor of this very listing
            targets.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    return {target for target in targets if target.startswith("socket:")}


def test_reads_that_are_given_up_leak_no_connection(ceph: Ceph, bucket: str) -> None:
    before = open_sockets()  # those of other tests, which may close meanwhile
    storage = s3_storage(ceph, bucket)
    put(storage, "leak/a", bytes(4 * MIB))

    for _ in range(80):  # more than the pool has
        with storage.read("leak/a") as pieces:
            next(pieces)

    assert len(open_sockets() - before) <= 1
    storage.close()
    assert open_sockets() <= before


# --- a service that is slow, silent or comes back


def test_a_silent_service_costs_no_more_than_its_time(ceph: Ceph, bucket: str) -> None:
    storage = s3_storage(ceph, bucket, read_timeout=0.5, attempts=2)
    put(storage, "silent/a", b"x")

    with ceph.gateway_silent():
        for use in (storage.check, lambda: put(storage, "silent/b", b"x")):
            begun = time.monotonic()
            with pytest.raises(StorageUnavailable):
                use()
            assert time.monotonic() - begun < 5
    storage.close()


def test_a_service_that_falls_silent_while_it_is_read_is_unavailable(
    ceph: Ceph, bucket: str
) -> None:
    storage = s3_storage(ceph, bucket, read_timeout=0.5)
    put(storage, "silent/large", bytes(40 * MIB))

    with storage.read("silent/large") as pieces:
        next(pieces)
        with ceph.gateway_silent(), pytest.raises(StorageUnavailable):
            for _ in pieces:
                pass
    storage.close()


def test_a_service_that_comes_back_is_used_again(ceph: Ceph, bucket: str) -> None:
    storage = s3_storage(ceph, bucket)
    put(storage, "back/a", b"x")

    with ceph.gateway_stopped():
        with pytest.raises(StorageUnavailable) as raised:
            storage.check()
        assert not isinstance(raised.value, StorageRefused)  # waiting helps
        with pytest.raises(StorageUnavailable):
            put(storage, "back/b", b"x")

    storage.check()
    assert get(storage, "back/a") == b"x"
    assert storage.size("back/b") is None
    storage.close()


def test_a_proxy_of_the_environment_is_used(
    ceph: Ceph, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = nobody.getsockname()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{address[1]}")
    monkeypatch.setenv("NO_PROXY", "")
    storage = s3_storage(ceph, bucket, attempts=1)

    with pytest.raises(StorageUnavailable):
        put(storage, "proxied/a", b"x")
    storage.close()


@contextmanager
def dropping_proxy(target: str, drops: int) -> Iterator[str]:
    """A TCP proxy that cuts its first ``drops`` connections after 100 kB of upload."""
    host, port = target.removeprefix("http://").split(":")
    listener = socket.create_server(("127.0.0.1", 0))
    left = drops

    def pump(source: socket.socket, sink: socket.socket, limit: float) -> None:
        passed = 0
        with suppress(OSError):
            while passed < limit and (data := source.recv(65536)):
                passed += len(data)
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):  # the other pump may have been faster
                end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        nonlocal left
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            limit = 100_000 if left > 0 else float("inf")
            left -= 1
            server = socket.create_connection((host, int(port)))
            threading.Thread(target=pump, args=(client, server, limit), daemon=True).start()
            threading.Thread(target=pump, args=(server, client, float("inf")), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize("prefix", [b"", b"not part of the object"])
def test_a_retried_upload_sends_the_object_from_its_start(
    ceph: Ceph, bucket: str, prefix: bytes
) -> None:
    data = b"".join(sha256(str(n).encode()).digest() for n in range(60_000))
    source = io.BytesIO(prefix + data)
    source.seek(len(prefix))
    with dropping_proxy(ceph.endpoint, drops=1) as endpoint:
        storage = s3_storage(ceph, bucket, endpoint=endpoint, attempts=3)
        storage.put("retried/a", source, mime=PNG)
        storage.close()

    direct = s3_storage(ceph, bucket)
    assert get(direct, "retried/a") == data
    direct.close()


# --- presigning


def test_urls_are_signed_for_the_public_endpoint(ceph: Ceph, bucket: str) -> None:
    with dropping_proxy(ceph.endpoint, drops=0) as public:
        storage = s3_storage(ceph, bucket, public_endpoint=public)
        put(storage, "public/a", b"x")

        url = storage.presign_get("public/a", mime=PNG, filename="a.png", ttl=60)
        target = storage.uploads.presign_put("public/b", mime=PNG, ttl=60)
        form = storage.uploads.presign_post("public/c", max_bytes=9, ttl=60)

        assert url.startswith(f"{public}/{bucket}/public/a?")
        assert target.startswith(f"{public}/{bucket}/public/b?")
        assert form.url == f"{public}/{bucket}"
        assert httpx.get(url).content == b"x"
        assert httpx.put(target, content=b"y", headers={"Content-Type": PNG}).status_code == 200
        posted = httpx.post(form.url, data=form.fields, files={"file": b"z"})
        assert posted.status_code == 204
        storage.close()


def test_the_endpoint_of_aws_is_that_of_the_region() -> None:
    storage = S3Storage(s3_settings(region="eu-west-1"))

    url = storage.presign_get("a", mime=PNG, filename="a.png", ttl=60)
    form = storage.uploads.presign_post("a", max_bytes=9, ttl=60)

    assert url.startswith("https://media.s3.eu-west-1.amazonaws.com/a?")
    assert form.url == "https://media.s3.eu-west-1.amazonaws.com"
    storage.close()


def test_the_form_leaves_the_type_open(ceph: Ceph, bucket: str, storage: S3Storage) -> None:
    form = storage.uploads.presign_post("form/a", max_bytes=9, ttl=60)

    assert "Content-Type" not in form.fields
    answer = httpx.post(form.url, data=form.fields, files={"file": ("a.jpg", b"x", "image/jpeg")})
    assert answer.status_code == 204
    assert get(storage, "form/a") == b"x"


class Issuer:
    """Issues numbered credentials that expire before long, as a role's would."""

    def __init__(self, minutes: float) -> None:
        self.issued = 0
        self.minutes = minutes

    def issue(self) -> dict[str, str]:
        self.issued += 1
        return {
            "access_key": f"ASIA{self.issued}",
            "secret_key": "secret",
            "token": f"token{self.issued}",
            "expiry_time": (datetime.now(UTC) + timedelta(minutes=self.minutes)).isoformat(),
        }


def with_temporary_credentials(monkeypatch: pytest.MonkeyPatch, issuer: Issuer) -> S3Storage:
    credentials = RefreshableCredentials.create_from_metadata(issuer.issue(), issuer.issue, "test")
    monkeypatch.setattr(boto3.Session, "get_credentials", lambda self: credentials)
    return S3Storage(s3_settings(access_key="", secret_key=""))


def signed_by(storage: S3Storage) -> str:
    url = storage.presign_get("a", mime=PNG, filename="a.png", ttl=60)
    return parse_qs(urlsplit(url).query)["X-Amz-Security-Token"][0]


def test_temporary_credentials_sign_until_they_are_old_and_are_renewed_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fresh = with_temporary_credentials(monkeypatch, Issuer(minutes=60))
    assert {signed_by(fresh) for _ in range(5)} == {"token1"}
    fresh.close()

    issuer = Issuer(minutes=5)
    old = with_temporary_credentials(monkeypatch, issuer)
    issuer.minutes = 60
    old.renew_credentials()
    assert issuer.issued == 2
    assert {signed_by(old) for _ in range(5)} == {"token2"}
    assert issuer.issued == 2  # what signed found them renewed
    old.close()


def test_who_signs_soon_after_a_renewal_waits_for_no_issuer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    issuer = Issuer(minutes=13)  # boto3 tries to renew them at each use, and does without
    storage = with_temporary_credentials(monkeypatch, issuer)
    asked: list[None] = []

    def away() -> dict[str, str]:
        asked.append(None)
        raise ConnectionError("the issuer is away")

    monkeypatch.setattr(storage._credential_source, "_refresh_using", away)
    storage.renew_credentials()
    assert len(asked) == 1
    assert {signed_by(storage) for _ in range(5)} == {"token1"}
    assert len(asked) == 1
    storage.close()


def test_credentials_that_cannot_be_renewed_are_said_to_be_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    issuer = Issuer(minutes=0.001)
    storage = with_temporary_credentials(monkeypatch, issuer)

    def away() -> dict[str, str]:
        raise ConnectionError("the issuer is away")

    monkeypatch.setattr(storage._credential_source, "_refresh_using", away)
    with pytest.raises(StorageUnavailable):
        signed_by(storage)
    with pytest.raises(StorageUnavailable):
        storage.renew_credentials()
    storage.close()


# --- memory

SIXTEEN_UPLOADS = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from jan_media.settings import Reader, S3Settings
from jan_media.storage.s3 import S3Storage

endpoint, bucket, access_key, secret_key, region, path = sys.argv[1:]
named = {"ENDPOINT": endpoint, "BUCKET": bucket, "REGION": region}
named |= {"ACCESS_KEY": access_key, "SECRET_KEY": secret_key}
reader = Reader({f"MEDIA_S3_{name}": value for name, value in named.items()})
storage = S3Storage(S3Settings(reader))
storage.check()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def round_trip(number):
    with open(path, "rb") as source:
        storage.put(f"memory/{number}", source, mime="image/png")
    with storage.read(f"memory/{number}") as pieces:
        return sum(map(len, pieces))

with ThreadPoolExecutor(16) as pool:
    assert set(pool.map(round_trip, range(16))) == {20 * 2**20}
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(before, after)
"""


def test_sixteen_uploads_of_20_mib_take_a_few_mib_of_memory(
    ceph: Ceph, bucket: str, tmp_path: Path
) -> None:
    file = tmp_path / "picture"
    file.write_bytes(bytes(20 * MIB))

    done = subprocess.run(
        [
            *(sys.executable, "-c", SIXTEEN_UPLOADS),
            *(ceph.endpoint, bucket, ACCESS_KEY, SECRET_KEY, REGION, str(file)),
        ],
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert done.returncode == 0, done.stderr
    before, after = (int(kibibytes) for kibibytes in done.stdout.split())
    assert after - before < 48 * 1024
