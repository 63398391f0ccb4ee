"""The local storage's own promises: crashes, full disks, and the location of files."""

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from jan_media.storage.interface import ObjectMissing, StorageUnavailable
from jan_media.storage.local import LocalStorage

from tests.support.storages import keys_of

SECRET = b"a secret of the tests, 32 bytes."


def opened(root: Path) -> LocalStorage:
    return LocalStorage(root, public_url="http://127.0.0.1:1", secret=SECRET)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "objects"


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def put(storage: LocalStorage, key: str, data: bytes) -> None:
    storage.put(key, BytesIO(data), mime="image/png")


def get(storage: LocalStorage, key: str) -> bytes:
    with storage.read(key) as pieces:
        return b"".join(pieces)


def test_objects_outlive_the_process(root: Path) -> None:
    put(opened(root), "content/a", b"kept")

    assert get(opened(root), "content/a") == b"kept"


def test_objects_are_spread_over_folders_below_the_root(root: Path) -> None:
    storage = opened(root)
    for number in range(200):
        put(storage, f"content/{number}", b"x")

    folders = {path.parent for path in files(root)}
    assert len(folders) > 64
    assert {folder.parent for folder in folders} == {root}


def test_nobody_else_may_read_the_files(root: Path) -> None:
    put(opened(root), "content/a", b"x")

    (file,) = files(root)
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0


def test_a_put_leaves_one_file_and_a_delete_none(root: Path) -> None:
    storage = opened(root)

    put(storage, "a", b"one")
    put(storage, "a", b"two")
    assert len(files(root)) == 1

    storage.delete(["a"])
    assert files(root) == []


def test_a_check_leaves_nothing(root: Path) -> None:
    opened(root).check()

    assert files(root) == []


def test_a_copy_shares_the_bytes_until_its_source_is_replaced(root: Path) -> None:
    storage = opened(root)
    put(storage, "uploads/a", b"as checked")
    storage.copy("uploads/a", "content/a", mime="image/png")
    assert len({file.stat().st_ino for file in files(root)}) == 1

    put(storage, "uploads/a", b"replayed")

    assert len({file.stat().st_ino for file in files(root)}) == 2
    assert get(storage, "content/a") == b"as checked"


def test_without_hard_links_a_copy_has_bytes_of_its_own(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    storage = opened(root)
    put(storage, "uploads/a", b"as checked")

    storage.copy("uploads/a", "content/a", mime="image/png")

    assert get(storage, "content/a") == b"as checked"
    assert len({file.stat().st_ino for file in files(root)}) == 2
    with pytest.raises(ObjectMissing):
        storage.copy("uploads/b", "content/b", mime="image/png")


@pytest.fixture
def full_disk() -> Iterator[None]:
    """The operating system lets no file grow beyond 100 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_the_system_refuses_leaves_nothing(root: Path, full_disk: None) -> None:
    storage = opened(root)
    put(storage, "content/old", b"old")

    with pytest.raises(StorageUnavailable, match="data folder"):
        put(storage, "content/new", b"x" * 200_000)
    with pytest.raises(StorageUnavailable):
        put(storage, "content/old", b"x" * 200_000)

    assert keys_of(storage) == ["content/old"]
    assert get(storage, "content/old") == b"old"
    assert len(files(root)) == 1


def test_an_error_shows_no_path(root: Path, full_disk: None) -> None:
    with pytest.raises(StorageUnavailable) as raised:
        put(opened(root), "content/new", b"x" * 200_000)

    assert str(root) not in str(raised.value)


def test_a_folder_that_cannot_be_made_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StorageUnavailable):
        opened(tmp_path / "file" / "objects")


def test_a_folder_whose_disk_is_not_mounted_has_no_missing_objects(root: Path) -> None:
    storage = opened(root)
    put(storage, "content/a", b"x")
    root.rename(root.with_name("unmounted"))
    root.mkdir()

    with pytest.raises(StorageUnavailable):
        storage.size("content/a")


ENDLESS_PUT = """
import io, sys
from pathlib import Path
from jan_media.storage.local import LocalStorage

class Endless(io.RawIOBase):
    def seekable(self): return True
    def tell(self): return 0
    def seek(self, offset, whence=0): return offset or 2**40
    def read(self, size=-1):
        print("writing", flush=True)
        return b"x" * size

storage = LocalStorage(Path(sys.argv[1]), public_url="http://x", secret=b"s" * 32)
storage.put("content/a", Endless(), mime="image/png")
"""


@pytest.fixture
def writer(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process in the middle of a put."""
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS_PUT, str(root)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGSTOP)
        yield process
        process.kill()


def test_what_a_killed_process_left_is_cleared_at_the_next_start(
    root: Path, writer: subprocess.Popen[bytes]
) -> None:
    assert len(files(root)) == 1
    writer.kill()
    writer.wait()
    assert len(files(root)) == 1

    storage = opened(root)

    assert files(root) == []
    assert storage.size("content/a") is None


def test_a_start_leaves_the_writes_of_living_processes_alone(
    root: Path, writer: subprocess.Popen[bytes]
) -> None:
    opened(root)

    assert len(files(root)) == 1


def test_processes_that_start_at_once_do_not_disturb_each_other(root: Path) -> None:
    code = """
import io, os, sys
from pathlib import Path
from jan_media.storage.local import LocalStorage
for number in range(40):
    storage = LocalStorage(Path(sys.argv[1]), public_url="http://x", secret=b"s" * 32)
    storage.put(f"content/{os.getpid()}-{number}", io.BytesIO(b"x"), mime="image/png")
"""
    processes = [subprocess.Popen([sys.executable, "-c", code, str(root)]) for _ in range(4)]

    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    assert len(keys_of(opened(root))) == 160


def test_reading_frees_its_file(root: Path) -> None:
    storage = opened(root)
    put(storage, "a", b"x" * 1_000_000)
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(50):
        with storage.read("a") as pieces:
            next(pieces)

    assert len(os.listdir("/proc/self/fd")) == before


def test_the_clock_of_the_storage_signs(root: Path) -> None:
    storage = LocalStorage(
        root, public_url="http://127.0.0.1:1", secret=SECRET, clock=lambda: 1_000.0
    )

    url = storage.presign_get("a", mime="image/png", filename="a.png", ttl=60)

    assert "expires=1060&" in url
