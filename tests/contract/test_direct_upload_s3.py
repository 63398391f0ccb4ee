"""Direct upload by form: what the policy allows is accepted, everything else is refused.

On a real S3 server, and on the sidecar, which does the same for the local storage.
"""

import base64
import io
import json
from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx
import pytest
import requests
from jan_media.storage.interface import PresignedPost

from tests.support import storages
from tests.support.storages import Served, TakingUploads

MIME = "image/jpeg"
MAX_BYTES = 1000

Fields = dict[str, str]


@pytest.fixture(scope="module", params=["local", "s3"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    if request.param == "local":
        with storages.local(tmp_path_factory.mktemp("objects")) as local:
            yield local
    else:
        with storages.s3(request.getfixturevalue("ceph")) as s3:
            yield s3


@pytest.fixture
def storage(served: Served) -> TakingUploads:
    return served.storage


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return f"uploads/{uuid4().hex}"


@pytest.fixture
def form(storage: TakingUploads, key: str) -> PresignedPost:
    return storage.uploads.presign_post(key, max_bytes=MAX_BYTES, ttl=60)


def upload(form: PresignedPost, data: bytes = b"picture", fields: Fields | None = None) -> int:
    """POST the form with the file last; returns the status."""
    chosen = form.fields if fields is None else fields
    answer = httpx.post(form.url, data=chosen, files={"file": ("photo.jpg", data, MIME)})
    return answer.status_code


def stored(storage: TakingUploads, key: str) -> bytes | None:
    if storage.size(key) is None:
        return None
    with storage.read(key) as pieces:
        return b"".join(pieces)


def with_policy(form: PresignedPost, change: Callable[[str], str]) -> Fields:
    """The form's fields with another policy under the old signature."""
    policy = base64.b64decode(form.fields["policy"]).decode()
    changed = change(policy)
    assert changed != policy
    return form.fields | {"policy": base64.b64encode(changed.encode()).decode()}


def test_a_form_takes_the_object(storage: TakingUploads, key: str, form: PresignedPost) -> None:
    assert upload(form, b"the picture") == 204

    assert stored(storage, key) == b"the picture"


def test_the_form_works_with_requests(
    storage: TakingUploads, key: str, form: PresignedPost
) -> None:
    answer = requests.post(
        form.url, data=form.fields, files={"file": io.BytesIO(b"picture")}, timeout=30
    )

    assert answer.status_code == 204
    assert stored(storage, key) == b"picture"


def test_the_fields_are_those_of_s3(form: PresignedPost, key: str) -> None:
    assert {name for name in form.fields if name != "x-amz-security-token"} == {
        "key",
        "policy",
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-signature",
    }
    assert form.fields["key"] == key
    policy = json.loads(base64.b64decode(form.fields["policy"]))
    assert {"key": key} in policy["conditions"]
    assert ["content-length-range", 1, MAX_BYTES] in policy["conditions"]


@pytest.mark.parametrize("size", [1, MAX_BYTES])
def test_both_ends_of_the_size_range_are_taken(
    storage: TakingUploads, key: str, form: PresignedPost, size: int
) -> None:
    assert upload(form, b"x" * size) == 204
    assert storage.size(key) == size


@pytest.mark.parametrize("size", [0, MAX_BYTES + 1, 5_000_000])
def test_a_size_outside_the_range_is_refused(
    storage: TakingUploads, key: str, form: PresignedPost, size: int
) -> None:
    assert upload(form, b"x" * size) in (400, 403, 413)
    assert storage.size(key) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key", "uploads/another"),
        ("key", "uploads/${filename}"),
        ("x-amz-date", "20200101T000000Z"),
        ("x-amz-credential", "someone/20200101/us-east-1/s3/aws4_request"),
        ("x-amz-signature", "0" * 64),
        ("x-amz-signature", "not hexadecimal"),
    ],
)
def test_a_field_with_another_value_is_refused(
    storage: TakingUploads, key: str, form: PresignedPost, name: str, value: str
) -> None:
    assert upload(form, fields=form.fields | {name: value}) in (400, 403)

    assert storage.size(key) is None
    assert storage.size("uploads/another") is None
    assert storage.size("uploads/photo.jpg") is None


@pytest.mark.parametrize(
    "name", ["key", "policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date"]
)
def test_a_form_without_a_field_that_must_be_there_is_refused(
    storage: TakingUploads, key: str, form: PresignedPost, name: str
) -> None:
    fields = {other: value for other, value in form.fields.items() if other != name}

    assert upload(form, fields=fields) in (400, 403)
    assert storage.size(key) is None


def test_a_form_without_a_signature_is_refused(
    storage: TakingUploads, key: str, form: PresignedPost
) -> None:
    fields = {name: value for name, value in form.fields.items() if name != "x-amz-signature"}

    assert upload(form, fields=fields) in (400, 403)
    assert storage.size(key) is None


def test_a_field_that_the_policy_does_not_name_is_refused(
    storage: TakingUploads, key: str, form: PresignedPost
) -> None:
    assert upload(form, fields=form.fields | {"x-amz-meta-note": "hello"}) == 403
    assert upload(form, fields=form.fields | {"acl": "public-read"}) == 403
    assert storage.size(key) is None


def test_a_field_to_be_ignored_is_ignored(
    storage: TakingUploads, key: str, form: PresignedPost
) -> None:
    assert upload(form, fields=form.fields | {"x-ignore-note": "hello"}) == 204
    assert stored(storage, key) == b"picture"


@pytest.mark.parametrize(
    "change",
    [
        lambda policy: policy.replace("uploads/", "content/"),
        lambda policy: policy.replace(f"1, {MAX_BYTES}", f"1, {MAX_BYTES}0"),
        lambda policy: policy.replace('"expiration": "20', '"expiration": "21'),
        lambda policy: '{"expiration":"2999-01-01T00:00:00.000Z","conditions":[]}',
        lambda policy: "not JSON",
    ],
    ids=["key", "size", "time", "everything allowed", "nonsense"],
)
def test_a_policy_that_was_changed_is_refused(
    storage: TakingUploads, key: str, form: PresignedPost, change: Callable[[str], str]
) -> None:
    assert upload(form, fields=with_policy(form, change)) in (400, 403)
    assert storage.size(key) is None


def test_a_signature_of_another_form_is_refused(
    storage: TakingUploads, key: str, form: PresignedPost
) -> None:
    other = storage.uploads.presign_post("uploads/another", max_bytes=MAX_BYTES, ttl=60)

    stolen = form.fields | {"x-amz-signature": other.fields["x-amz-signature"]}

    assert upload(form, fields=stolen) == 403
    assert storage.size(key) is None


def test_an_expired_form_is_refused(served: Served, key: str) -> None:
    past = served.signing_in_the_past()

    expired = past.uploads.presign_post(key, max_bytes=MAX_BYTES, ttl=3600 - 60)
    assert upload(expired) in (400, 403)
    assert served.storage.size(key) is None

    live = past.uploads.presign_post(key, max_bytes=MAX_BYTES, ttl=3600 + 60)
    assert upload(live) == 204


def test_fields_after_the_file_do_not_count(
    storage: TakingUploads, key: str, form: PresignedPost
) -> None:
    before = [(name, (None, value)) for name, value in form.fields.items()]
    after = ("submit", (None, "Upload"))

    answer = httpx.post(form.url, files=[*before, ("file", ("a.jpg", b"picture")), after])

    assert answer.status_code == 204
    assert stored(storage, key) == b"picture"


def test_a_file_before_its_policy_is_refused(
    storage: TakingUploads, key: str, form: PresignedPost
) -> None:
    late = [(name, (None, value)) for name, value in form.fields.items()]

    answer = httpx.post(form.url, files=[("file", ("a.jpg", b"picture")), *late])

    assert answer.status_code in (400, 403)
    assert storage.size(key) is None


def test_a_replayed_form_can_only_write_its_own_key_again(
    storage: TakingUploads, key: str, form: PresignedPost
) -> None:
    assert upload(form, b"first") == 204
    storage.copy(key, f"content/{key}", mime=MIME)

    assert upload(form, b"second") == 204

    assert stored(storage, key) == b"second"
    assert stored(storage, f"content/{key}") == b"first"
