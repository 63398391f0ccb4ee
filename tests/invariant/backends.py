"""Backends that any number of sidecars share, and direct access to what is stored in them."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from jan_media.catalog.catalog import Catalog
from jan_media.storage.interface import Storage
from jan_media.storage.local import LocalStorage

from tests.support.catalogs import open_migrated
from tests.support.ceph import ACCESS_KEY, SECRET_KEY, Ceph
from tests.support.postgres import PostgresServer
from tests.support.storages import URL_SECRET, keys_of, s3_storage


@dataclass(frozen=True, slots=True)
class Backends:
    """A catalog and a storage, and the settings of a sidecar that uses them."""

    settings: dict[str, str]
    data_dir: Path
    catalog: Catalog
    storage: Storage

    def stored(self) -> dict[str, str]:
        """The SHA-256 of every object, by key."""
        found = {}
        for key in keys_of(self.storage):
            with self.storage.read(key) as pieces:
                found[key] = hashlib.sha256(b"".join(pieces)).hexdigest()
        return found

    def assert_only(self, ids: set[str], now: int) -> None:
        """What these ids stand for is stored, once, and nothing else is."""
        media = self.catalog.get_many(sorted(ids), now=now).values()
        stored = self.stored()
        assert {each.storage_key: each.sha256 for each in media} == stored
        assert [name for name, times in Counter(stored.values()).items() if times > 1] == []


@contextmanager
def on_one_machine(folder: Path) -> Iterator[Backends]:
    """SQLite and a local folder."""
    data_dir = folder / "data"
    data_dir.mkdir()
    with open_migrated(f"sqlite:///{data_dir}/catalog.db") as catalog:
        storage = LocalStorage(
            data_dir / "objects", public_url="http://media", secret=URL_SECRET.encode()
        )
        yield Backends({}, data_dir, catalog, storage)


@contextmanager
def on_services(folder: Path, server: PostgresServer, ceph: Ceph) -> Iterator[Backends]:
    """PostgreSQL and S3."""
    url, bucket = server.new_database(), ceph.new_bucket()
    settings = {
        "DATABASE_URL": url,
        "STORAGE_BACKEND": "s3",
        "S3_ENDPOINT": ceph.endpoint,
        "S3_BUCKET": bucket,
        "S3_ACCESS_KEY": ACCESS_KEY,
        "S3_SECRET_KEY": SECRET_KEY,
        "S3_USE_PATH_STYLE": "true",
    }
    with ExitStack() as stack:
        catalog = stack.enter_context(open_migrated(url))
        storage = s3_storage(ceph, bucket)
        stack.callback(storage.close)
        yield Backends(settings, folder / "data", catalog, storage)
