"""What every storage promises, sentence by sentence, on a folder and on a real S3 service."""

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from jan_media.storage.interface import CHUNK, ObjectMissing, StorageUnavailable
from jan_media.storage.local import LocalStorage

from tests.support import storages
from tests.support.storages import Served, TakingUploads, keys_of

PNG = "image/png"
BAD_KEYS = ["", "/a", "a/", "a//b", "a/../b", "..", ".", "./a", "A", "a b", "a,b", "ä", "a" * 201]


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
    return f"tests/{uuid4().hex}"


def pattern(size: int, seed: str = "") -> bytes:
    """Bytes that repeat nowhere near, so that a shifted or mixed read shows."""
    blocks = (sha256(f"{seed}{n}".encode()).digest() for n in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def put(storage: TakingUploads, key: str, data: bytes) -> None:
    storage.put(key, io.BytesIO(data), mime=PNG)


def get(storage: TakingUploads, key: str, start: int = 0, stop: int | None = None) -> bytes:
    with storage.read(key, start=start, stop=stop) as pieces:
        return b"".join(pieces)


# --- put and read


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_what_was_put_is_read_back(storage: TakingUploads, key: str, size: int) -> None:
    put(storage, key, pattern(size))

    with storage.read(key) as pieces:
        assert b"".join(pieces) == pattern(size)


def test_put_takes_a_source_from_its_position_on(storage: TakingUploads, key: str) -> None:
    source = io.BytesIO(b"before|object")
    source.seek(7)

    storage.put(key, source, mime=PNG)

    assert get(storage, key) == b"object"


def test_a_source_may_be_put_again(storage: TakingUploads, key: str) -> None:
    source = io.BytesIO(b"twice")

    for again in (key, f"{key}/again"):
        source.seek(0)
        storage.put(again, source, mime=PNG)
        assert get(storage, again) == b"twice"


def test_put_replaces_an_object(storage: TakingUploads, key: str) -> None:
    put(storage, key, b"the first, longer one")
    put(storage, key, b"the second")

    assert get(storage, key) == b"the second"


def test_a_reader_sees_one_whole_object_while_others_are_put(
    storage: TakingUploads, key: str
) -> None:
    versions = {pattern(3 * CHUNK, "a"), pattern(3 * CHUNK, "b")}
    put(storage, key, pattern(3 * CHUNK, "a"))
    done = threading.Event()

    def rewrite() -> None:
        while not done.is_set():
            for version in versions:
                put(storage, key, version)

    with ThreadPoolExecutor() as pool:
        rewriting = pool.submit(rewrite)
        try:
            seen = {get(storage, key) for _ in range(25)}
        finally:
            done.set()
        rewriting.result()

    assert seen <= versions


def test_objects_are_put_and_read_from_many_threads(storage: TakingUploads, key: str) -> None:
    def round_trip(number: int) -> bool:
        data = pattern(50_000, str(number))
        put(storage, f"{key}/{number}", data)
        return get(storage, f"{key}/{number}") == data

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(round_trip, range(48)))


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 1), (5, None), (10, 20), (CHUNK - 1, CHUNK + 1), (0, 10**9), (2 * CHUNK - 1, 2 * CHUNK)],
)
def test_a_range_is_read(storage: TakingUploads, key: str, start: int, stop: int | None) -> None:
    data = pattern(2 * CHUNK)
    put(storage, key, data)

    with storage.read(key, start=start, stop=stop) as pieces:
        assert b"".join(pieces) == data[start:stop]


def test_no_piece_is_larger_than_a_chunk(storage: TakingUploads, key: str) -> None:
    put(storage, key, pattern(5 * CHUNK + 1))

    with storage.read(key) as pieces:
        assert max(len(piece) for piece in pieces) <= CHUNK


@pytest.mark.parametrize(("start", "stop"), [(0, None), (3, 9), (4, None)])
def test_reading_what_is_not_there_is_object_missing(
    storage: TakingUploads, key: str, start: int, stop: int | None
) -> None:
    with pytest.raises(ObjectMissing), storage.read(key, start=start, stop=stop):
        pass


@pytest.mark.parametrize("change", ["deleted", "rewritten"])
def test_an_opened_object_is_read_to_its_end_or_not_at_all(
    storage: TakingUploads, key: str, change: str
) -> None:
    old = pattern(20 * CHUNK, "old")
    put(storage, key, old)

    with storage.read(key) as pieces:
        read = next(pieces)
        if change == "deleted":
            storage.delete([key])
        else:
            put(storage, key, pattern(20 * CHUNK, "new"))
        try:
            read += b"".join(pieces)
        except StorageUnavailable:
            read = old  # allowed: it failed, and nothing of the new one was given out

    assert read == old


# --- size, copy, delete, keys


def test_size_is_in_bytes_and_none_if_there_is_no_object(storage: TakingUploads, key: str) -> None:
    put(storage, key, pattern(12_345))

    assert storage.size(key) == 12_345
    assert storage.size(f"{key}/other") is None


def test_a_copy_has_the_bytes(storage: TakingUploads, key: str) -> None:
    put(storage, key, pattern(54_321))

    storage.copy(key, f"{key}/copy", mime=PNG)

    assert get(storage, f"{key}/copy") == pattern(54_321)
    assert get(storage, key) == pattern(54_321)


@pytest.mark.parametrize("change", ["deleted", "rewritten", "rewritten by its policy"])
def test_nothing_done_to_the_source_changes_a_copy(
    storage: TakingUploads, key: str, change: str
) -> None:
    put(storage, key, b"as it was")
    form = storage.uploads.presign_post(key, max_bytes=100, ttl=60)
    storage.copy(key, f"{key}/copy", mime=PNG)

    if change == "deleted":
        storage.delete([key])
    elif change == "rewritten":
        put(storage, key, b"something else")
    else:
        answer = httpx.post(form.url, data=form.fields, files={"file": b"replayed"})
        assert answer.status_code == 204
        assert get(storage, key) == b"replayed"

    assert get(storage, f"{key}/copy") == b"as it was"
    assert storage.size(f"{key}/copy") == 9


def test_a_copy_is_one_version_of_a_source_that_changes_all_the_time(
    storage: TakingUploads, key: str
) -> None:
    versions = [pattern(CHUNK + 1, "a"), pattern(2 * CHUNK, "b")]
    put(storage, key, versions[0])
    done = threading.Event()

    def rewrite() -> None:
        while not done.wait(0.01):
            for version in versions:
                put(storage, key, version)

    with ThreadPoolExecutor() as pool:
        rewriting = pool.submit(rewrite)
        try:
            for number in range(20):
                target = f"{key}/copy{number}"
                storage.copy(key, target, mime=PNG)
                assert get(storage, target) in versions
        finally:
            done.set()
        rewriting.result()


def test_copying_what_is_not_there_is_object_missing(storage: TakingUploads, key: str) -> None:
    with pytest.raises(ObjectMissing):
        storage.copy(key, f"{key}/copy", mime=PNG)

    assert storage.size(f"{key}/copy") is None


def test_deleted_objects_are_gone_and_others_stay(storage: TakingUploads, key: str) -> None:
    for name in "abc":
        put(storage, f"{key}/{name}", b"x")

    storage.delete([f"{key}/a", f"{key}/c"])

    assert keys_of(storage, key) == [f"{key}/b"]


def test_an_object_that_is_not_there_counts_as_deleted(storage: TakingUploads, key: str) -> None:
    put(storage, key, b"x")

    storage.delete([f"{key}/never", key, f"{key}/never"])
    storage.delete([key])
    storage.delete([])

    assert storage.size(key) is None


def test_more_keys_than_one_request_takes_are_deleted(storage: TakingUploads, key: str) -> None:
    names = {f"{key}/{number}" for number in range(1_005)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: put(storage, name, b"x"), names))

    listed = keys_of(storage, f"{key}/")
    assert set(listed) == names
    assert len(listed) == len(names)

    storage.delete(listed)
    assert keys_of(storage, f"{key}/") == []


@pytest.mark.parametrize("bad", BAD_KEYS)
def test_what_is_no_key_is_refused_by_every_method(
    storage: TakingUploads, key: str, bad: str
) -> None:
    put(storage, key, b"x")
    uses: list[Callable[[], object]] = [
        lambda: put(storage, bad, b"x"),
        lambda: get(storage, bad),
        lambda: storage.size(bad),
        lambda: storage.copy(bad, f"{key}/copy", mime=PNG),
        lambda: storage.copy(key, bad, mime=PNG),
        lambda: storage.delete([bad]),
        lambda: storage.presign_get(bad, mime=PNG, filename="x", ttl=60),
        lambda: storage.uploads.presign_put(bad, mime=PNG, ttl=60),
        lambda: storage.uploads.presign_post(bad, max_bytes=1, ttl=60),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="not a storage key"):
            use()


def test_check_is_content_with_a_storage_that_works(storage: TakingUploads) -> None:
    storage.check()


# --- presigned downloads


def test_a_presigned_url_serves_the_object_to_anyone(storage: TakingUploads, key: str) -> None:
    put(storage, key, pattern(100_000))

    answer = httpx.get(storage.presign_get(key, mime="image/webp", filename="cat.webp", ttl=60))

    assert answer.status_code == 200
    assert answer.content == pattern(100_000)
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.headers["Content-Disposition"] == 'inline; filename="cat.webp"'


def test_a_presigned_url_serves_a_range(storage: TakingUploads, key: str) -> None:
    put(storage, key, b"0123456789")
    url = storage.presign_get(key, mime=PNG, filename="x.png", ttl=60)

    answer = httpx.get(url, headers={"Range": "bytes=2-4"})

    assert answer.status_code == 206
    assert answer.content == b"234"


@pytest.mark.parametrize(
    "filename", ["", "a/b.png", 'a".png', "ü.png", "a\r\nb", "../a", "a" * 101]
)
def test_a_filename_that_no_url_can_carry_as_it_is_is_refused(
    storage: TakingUploads, key: str, filename: str
) -> None:
    with pytest.raises(ValueError, match="file name"):
        storage.presign_get(key, mime=PNG, filename=filename, ttl=60)


# --- whose a URL is

ID = "jan_01hqr8v9k2x3f4g5h6j7k8m9n0"


def test_a_download_url_names_its_media_id(served: Served, key: str) -> None:
    url = served.storage.presign_get(key, mime=PNG, filename=f"{ID}.png", ttl=60)
    expired = served.signing_in_the_past().presign_get(
        key, mime=PNG, filename=f"{ID}.png", ttl=3600 - 60
    )

    assert served.storage.media_id_of_url(url) == ID
    assert served.storage.media_id_of_url(expired) == ID
    assert served.storage.media_id_of_url(url[:-8]) == ID  # the signature does not matter
    assert f"{ID}.png" in url


def test_the_type_of_what_is_downloaded_can_be_told_by_the_url(
    storage: TakingUploads, key: str
) -> None:
    """Some model servers go by the extension."""
    url = storage.presign_get(key, mime=PNG, filename=f"{ID}.png", ttl=60)
    parts = urlsplit(url)
    if "response-content-type" not in parts.query:
        assert parts.path.endswith(".png")


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace("http://", "https://", 1),
        lambda url: url.replace("127.0.0.1", "attacker.example", 1),
        lambda url: url.replace("127.0.0.1", "127.0.0.1@attacker.example", 1),
        lambda url: url.replace("http://127.0.0.1", "http://attacker.example/http://127.0.0.1", 1),
        lambda url: url.replace("/tests/", "x/tests/").replace("/files", "/other"),
        lambda url: url.replace(ID, "jan_nothing"),
        lambda url: url.replace(ID, f"{ID}0"),
        lambda url: "",
        lambda url: ID,
        lambda url: "http://[",
    ],
    ids=[
        "scheme",
        "host",
        "user",
        "path of another",
        "folder",
        "no id",
        "too long an id",
        "empty",
        "an id",
        "no URL",
    ],
)
def test_a_url_that_is_not_of_this_storage_names_no_id(
    storage: TakingUploads, key: str, change: Callable[[str], str]
) -> None:
    url = storage.presign_get(key, mime=PNG, filename=f"{ID}.png", ttl=60)

    assert storage.media_id_of_url(change(url)) is None


def test_a_url_of_this_storage_without_an_id_names_none(storage: TakingUploads, key: str) -> None:
    url = storage.presign_get(key, mime=PNG, filename="plain.png", ttl=60)
    upload = storage.uploads.presign_put(f"images/{ID}", mime=PNG, ttl=60)

    assert storage.media_id_of_url(url) is None
    assert storage.media_id_of_url(upload) in (None, ID)


@pytest.mark.parametrize("part", ["key", "signature", "time", "type", "name"])
def test_a_presigned_url_that_was_changed_is_refused(
    storage: TakingUploads, key: str, part: str
) -> None:
    put(storage, key, b"x")
    put(storage, f"{key}x", b"secret")
    url = storage.presign_get(key, mime="image/gif", filename="plain.gif", ttl=777)

    changed = {
        "key": lambda: url.replace(key, f"{key}x"),
        "signature": lambda: url[:-1] + ("0" if url[-1] != "0" else "1"),
        "time": lambda: later(url),
        "type": lambda: url.replace("image%2Fgif", "text%2Fhtml"),
        "name": lambda: url.replace("plain.gif", "other.gif"),
    }[part]()

    assert changed != url
    assert httpx.get(changed).status_code == 403
    assert httpx.get(url).status_code == 200


def later(url: str) -> str:
    """The URL with more time written into it, whatever the service calls that."""
    parameters = httpx.QueryParams(urlsplit(url).query)
    name = "expires" if "expires" in parameters else "X-Amz-Expires"
    return url.replace(f"{name}={parameters[name]}", f"{name}={int(parameters[name]) + 1}")


def test_a_presigned_url_is_for_reading_only(storage: TakingUploads, key: str) -> None:
    put(storage, key, b"x")
    url = storage.presign_get(key, mime=PNG, filename="x.png", ttl=60)

    assert httpx.put(url, content=b"y", headers={"Content-Type": PNG}).status_code == 403
    assert get(storage, key) == b"x"


def test_a_presigned_url_expires(served: Served, key: str) -> None:
    put(served.storage, key, b"x")
    past = served.signing_in_the_past()

    live = past.presign_get(key, mime=PNG, filename="x.png", ttl=3600 + 60)
    expired = past.presign_get(key, mime=PNG, filename="x.png", ttl=3600 - 60)

    assert httpx.get(live).status_code == 200
    assert httpx.get(expired).status_code == 403


def test_a_presigned_url_of_nothing_is_not_found(storage: TakingUploads, key: str) -> None:
    url = storage.presign_get(key, mime=PNG, filename="x.png", ttl=60)

    assert httpx.get(url).status_code == 404


# --- presigned uploads by PUT (those by form: test_direct_upload_s3.py)


def test_a_presigned_put_takes_the_object(storage: TakingUploads, key: str) -> None:
    target = storage.uploads.presign_put(key, mime=PNG, ttl=60)

    answer = httpx.put(target, content=pattern(100_000), headers={"Content-Type": PNG})

    assert answer.status_code == 200
    assert get(storage, key) == pattern(100_000)


@pytest.mark.parametrize("type_sent", ["image/gif", "image/png; charset=x", None])
def test_a_presigned_put_refuses_another_content_type(
    storage: TakingUploads, key: str, type_sent: str | None
) -> None:
    target = storage.uploads.presign_put(key, mime=PNG, ttl=60)
    headers = {} if type_sent is None else {"Content-Type": type_sent}

    assert httpx.put(target, content=b"x", headers=headers).status_code == 403
    assert storage.size(key) is None


def test_a_presigned_put_is_for_its_key_only(storage: TakingUploads, key: str) -> None:
    target = storage.uploads.presign_put(key, mime=PNG, ttl=60)

    other = target.replace(key, f"{key}x")

    assert httpx.put(other, content=b"x", headers={"Content-Type": PNG}).status_code == 403
    assert httpx.get(target).status_code == 403
    assert storage.size(f"{key}x") is None


def test_a_presigned_put_expires(served: Served, key: str) -> None:
    target = served.signing_in_the_past().uploads.presign_put(key, mime=PNG, ttl=3600 - 60)

    assert httpx.put(target, content=b"x", headers={"Content-Type": PNG}).status_code == 403
    assert served.storage.size(key) is None


# --- a storage that is away


def io_uses(storage: TakingUploads) -> list[Callable[[], object]]:
    return [
        storage.check,
        lambda: put(storage, "away/new", b"x"),
        lambda: get(storage, "away/old"),
        lambda: storage.size("away/old"),
        lambda: storage.copy("away/old", "away/copy", mime=PNG),
        lambda: storage.delete(["away/old"]),
    ]


@pytest.fixture
def broken(
    request: pytest.FixtureRequest, served: Served, tmp_path: Path
) -> Iterator[TakingUploads]:
    """A storage with an object in it, whose service is away."""
    if served.name == "local":
        folder = tmp_path / "objects"
        local = LocalStorage(folder, public_url="http://127.0.0.1:1", secret=b"s" * 32)
        put(local, "away/old", b"x")
        folder.rename(tmp_path / "unmounted")
        yield local
    else:
        put(served.storage, "away/old", b"x")
        with request.getfixturevalue("ceph").gateway_stopped():
            yield served.storage


def test_every_method_says_that_the_storage_is_away(broken: TakingUploads) -> None:
    for use in io_uses(broken):
        with pytest.raises(StorageUnavailable):
            use()


def test_presigning_needs_no_service(broken: TakingUploads, key: str) -> None:
    assert broken.presign_get(key, mime=PNG, filename="x.png", ttl=60)
    assert broken.uploads.presign_put(key, mime=PNG, ttl=60)
    assert broken.uploads.presign_post(key, max_bytes=1, ttl=60)
