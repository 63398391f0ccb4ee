"""What the doctor finds on a real S3 service, configured correctly and with each error."""

import time
from collections.abc import Callable, Iterator

import pytest
from jan_media.doctor.finding import Finding, Verdict
from jan_media.storage.s3 import S3Storage
from jan_media.storage.s3_diagnosis import diagnose

from tests.support.ceph import ACCESS_KEY, SECRET_KEY, Ceph
from tests.support.storages import keys_of, s3_storage


@pytest.fixture
def bucket(ceph: Ceph) -> str:
    return ceph.new_bucket()


@pytest.fixture
def storage(ceph: Ceph, bucket: str) -> Iterator[S3Storage]:
    opened = s3_storage(ceph, bucket)
    yield opened
    opened.close()


def allow_browsers(ceph: Ceph, bucket: str, methods: list[str]) -> None:
    ceph.client().put_bucket_cors(
        Bucket=bucket,
        CORSConfiguration={
            "CORSRules": [
                {
                    "AllowedOrigins": ["https://jan.example"],
                    "AllowedMethods": methods,
                    "AllowedHeaders": ["content-type"],
                }
            ]
        },
    )


def found_with(storage: S3Storage, *, clock: Callable[[], float] = time.time) -> list[Finding]:
    return list(diagnose(storage, clock=clock))


def about(subject: str, findings: list[Finding]) -> Finding:
    (found,) = [finding for finding in findings if finding.subject == subject]
    return found


def test_a_right_set_up_has_nothing_to_fix(ceph: Ceph, bucket: str, storage: S3Storage) -> None:
    allow_browsers(ceph, bucket, ["GET", "PUT", "POST"])

    findings = found_with(storage)

    assert [finding.subject for finding in findings] == [
        "endpoint",
        "clock",
        "credentials",
        "bucket",
        "permissions",
        "cors",
        "presigned form",
        "presigned put",
        "presigned get",
    ]
    assert {finding.verdict for finding in findings} == {Verdict.OK}
    assert "https://jan.example" in about("cors", findings).message


def test_a_diagnosis_leaves_no_object(storage: S3Storage) -> None:
    found_with(storage)

    assert keys_of(storage) == []


def test_a_bucket_without_cors_is_a_warning_with_the_command(
    bucket: str, storage: S3Storage
) -> None:
    found = about("cors", found_with(storage))

    assert found.verdict is Verdict.WARNING
    assert f"put-bucket-cors --bucket {bucket}" in found.message


def test_a_method_that_cors_lacks_is_named(ceph: Ceph, bucket: str, storage: S3Storage) -> None:
    allow_browsers(ceph, bucket, ["GET"])

    found = about("cors", found_with(storage))

    assert found.verdict is Verdict.WARNING
    assert "POST, PUT" in found.message


def test_a_missing_bucket_is_a_problem(ceph: Ceph) -> None:
    storage = s3_storage(ceph, "no-such-bucket")

    findings = found_with(storage)

    assert about("credentials", findings).verdict is Verdict.OK
    assert about("bucket", findings).verdict is Verdict.PROBLEM
    assert "create it" in about("bucket", findings).message
    assert findings[-1].subject == "bucket"
    storage.close()


def test_a_bucket_of_someone_else_is_a_problem(ceph: Ceph, bucket: str) -> None:
    access_key, secret_key = ceph.new_user()
    storage = s3_storage(ceph, bucket, access_key=access_key, secret_key=secret_key)

    found = about("bucket", found_with(storage))

    assert found.verdict is Verdict.PROBLEM
    assert "grant" in found.message
    storage.close()


def test_a_bucket_that_may_only_be_read_is_a_problem(ceph: Ceph, bucket: str) -> None:
    access_key, secret_key = ceph.new_user()
    ceph.client().put_bucket_acl(Bucket=bucket, ACL="public-read")
    storage = s3_storage(ceph, bucket, access_key=access_key, secret_key=secret_key)

    findings = found_with(storage)

    assert about("bucket", findings).verdict is Verdict.OK
    assert about("permissions", findings).verdict is Verdict.PROBLEM
    assert "write" in about("permissions", findings).message
    storage.close()


@pytest.mark.parametrize(
    ("access_key", "secret_key", "setting"),
    [
        ("NOBODY", SECRET_KEY, "MEDIA_S3_ACCESS_KEY"),
        (ACCESS_KEY, "wrong", "MEDIA_S3_SECRET_KEY"),
    ],
)
def test_wrong_credentials_are_a_problem(
    ceph: Ceph, bucket: str, access_key: str, secret_key: str, setting: str
) -> None:
    storage = s3_storage(ceph, bucket, access_key=access_key, secret_key=secret_key)

    found = about("credentials", found_with(storage))

    assert found.verdict is Verdict.PROBLEM
    assert setting in found.message
    storage.close()


@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [(0, Verdict.OK), (120, Verdict.WARNING), (-120, Verdict.WARNING), (1200, Verdict.PROBLEM)],
)
def test_a_clock_that_is_off_is_found(storage: S3Storage, ahead: float, verdict: Verdict) -> None:
    found = about("clock", found_with(storage, clock=lambda: time.time() + ahead))

    assert found.verdict is verdict


def test_an_endpoint_that_is_away_is_a_problem(ceph: Ceph, bucket: str) -> None:
    storage = s3_storage(ceph, bucket, endpoint="http://127.0.0.1:1")

    (found,) = found_with(storage)

    assert found.verdict is Verdict.PROBLEM
    assert "MEDIA_S3_ENDPOINT" in found.message
    storage.close()


def test_a_public_endpoint_that_is_not_the_service_is_a_problem(ceph: Ceph, bucket: str) -> None:
    storage = s3_storage(ceph, bucket, public_endpoint="http://127.0.0.1:1")

    findings = found_with(storage)

    assert about("permissions", findings).verdict is Verdict.OK
    for subject in ("presigned form", "presigned put", "presigned get"):
        assert about(subject, findings).verdict is Verdict.PROBLEM
        assert "MEDIA_S3_PUBLIC_ENDPOINT" in about(subject, findings).message
    storage.close()


def test_a_public_endpoint_under_another_name_is_a_problem(ceph: Ceph, bucket: str) -> None:
    storage = s3_storage(ceph, bucket, public_endpoint=f"{ceph.endpoint}/behind/a/prefix")

    found = about("presigned get", found_with(storage))

    assert found.verdict is Verdict.PROBLEM
    assert "exactly the scheme, host and port" in found.message
    storage.close()
