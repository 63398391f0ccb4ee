"""What requests ask of catalog and storage, and what keeping media costs in bytes.

``python -m bench.keeping`` runs the library itself with counters around its catalog and its
storage, fills a catalog to see what an id weighs, and looks at the memory of idle processes. It
measures no time: `docs/scaling.md` reckons with these figures.
"""

import secrets
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
from jan_media.catalog.interface import Catalog, Content
from jan_media.catalog.postgres import PostgresCatalog
from jan_media.catalog.sqlite import SqliteCatalog
from jan_media.content.allowed_types import AllowedTypes
from jan_media.library.direct_upload import complete, prepare
from jan_media.library.ingest import store
from jan_media.library.library import Library, Rules
from jan_media.library.owned import give_up, page
from jan_media.library.resolve import resolve
from jan_media.library.spool import Spool
from jan_media.media_id import new_media_id
from jan_media.storage.local import LocalStorage
from jan_media_plugin.auth.caller import Caller
from jan_media_plugin.bounded_cache import BoundedCache

from bench.command import Options, run
from bench.processes import Processes
from bench.report import Result, Table
from tests.support import postgres
from tests.support.kong_driver import running_plugin_server
from tests.support.pictures import picture
from tests.support.sidecar import running_sidecar

DAY_MS = 24 * 3600 * 1000
OWNER = "https://issuer.example/realms/jan|6f1c9a52-6f0e-4f5e-9a58-0c4f2a7b1d3e"
S3_URL_CHARACTERS = 480  # of a presigned GET with a type and a file name in it


class Counted:
    """Passes calls on to a part, and notes those that are I/O."""

    def __init__(self, part: object, noted: list[str]) -> None:
        self._part = part
        self._noted = noted

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._part, name)
        if name.startswith("presign"):
            return method

        def noting(*args: Any, **more: Any) -> Any:
            self._noted.append(name)
            return method(*args, **more)

        return noting


def measure(options: Options) -> Result:
    """Count operations, then weigh."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jan-bench-")))
        operations = count_operations(folder)
        weights = {
            "SQLite, bytes for each id": _weigh_sqlite(folder, 200 if options.quick else 3000),
            **({} if options.quick else {"PostgreSQL, bytes for each id": _weigh_postgres(3000)}),
            "plugin, bytes for each known URL": _weigh_urls(2000),
            "plugin, bytes for each known token": _weigh_tokens(2000),
            "plugin server, idle, MiB": _plugin_server_mib(folder),
            "sidecar with one worker, idle, MiB": _sidecar_mib(folder / "sidecar"),
        }
    return _result(operations, weights)


def count_operations(folder: Path) -> dict[str, tuple[list[str], list[str]]]:
    """By kind of request: the calls of the catalog (a transaction each), and of the storage."""
    catalog, storage = SqliteCatalog(folder / "counted.db"), _local_storage(folder)
    catalog.migrate()
    of_catalog: list[str] = []
    of_storage: list[str] = []
    library: Library = Library(
        Counted(catalog, of_catalog),
        Counted(storage, of_storage),
        Rules(
            allowed_types=AllowedTypes("image/png"),
            max_bytes=1_000_000,
            max_pixels=1_000_000,
            retention_ms=30 * DAY_MS,
            hold_ms=DAY_MS,
            download_ttl=300,
            upload_ttl=900,
        ),
        folder,
    )
    counted = {}

    def count(kind: str, ask: Callable[[], Any]) -> Any:
        of_catalog.clear()
        of_storage.clear()
        answer = ask()
        counted[kind] = (list(of_catalog), list(of_storage))
        return answer

    data = picture()
    media_id = count("upload, new", lambda: _upload(library, data))
    count("upload, known content", lambda: _upload(library, data))
    count("resolve, any number of ids", lambda: resolve(library, [media_id]))
    promised = count("prepare a direct upload", lambda: prepare(library, "image/png", OWNER))
    with Spool(folder, max_bytes=1_000_000) as spool:
        spool.write(picture())
        size = spool.size
        storage.put(promised.media.storage_key, spool.from_start(), size=size, mime="image/png")
    count(
        "its first resolve",
        lambda: complete(library, resolve(library, [promised.media.id]).unready[promised.media.id]),
    )
    count("list of an owner", lambda: page(library, OWNER, limit=20, before=None))
    count("delete, the last owner", lambda: give_up(library, media_id, OWNER))
    catalog.close()
    return counted


def _upload(library: Library, data: bytes) -> str:
    with Spool(library.spool_dir, max_bytes=1_000_000) as spool:
        spool.write(data)
        return store(library, spool, OWNER).media.id


def _local_storage(folder: Path) -> LocalStorage:
    return LocalStorage(folder / "objects", public_url="http://media", secret=b"s" * 32)


def _fill(catalog: Catalog, count: int) -> None:
    for _ in range(count):
        now = time.time_ns() // 1_000_000
        key = f"content/ab/{secrets.token_hex(16)}"
        catalog.intend(key, due_at=now + DAY_MS)
        catalog.commit_upload(
            new_media_id(),
            Content(sha256=secrets.token_hex(32), mime="image/png", bytes=50_000),
            key,
            OWNER,
            now=now,
            expires_at=now + 30 * DAY_MS,
        )


def _weigh_sqlite(folder: Path, count: int) -> float:
    file = folder / "weighed.db"
    catalog = SqliteCatalog(file)
    catalog.migrate()
    _fill(catalog, count)
    catalog.close()  # which brings its log into the file
    return file.stat().st_size / count


def _weigh_postgres(count: int) -> float:
    with postgres.running() as server:
        url = server.new_database()
        catalog = PostgresCatalog(url)
        catalog.migrate()
        with psycopg.connect(url, autocommit=True) as database:

            def size() -> int:
                row = database.execute("SELECT pg_database_size(current_database())").fetchone()
                return int(row[0]) if row else 0

            before = size()
            _fill(catalog, count)
            catalog.close()
            database.execute("VACUUM")
            return (size() - before) / count


def _weigh_urls(count: int) -> float:
    cache = BoundedCache[str, str](count)
    return _weigh(
        count, lambda: cache.put(new_media_id(), "h" * S3_URL_CHARACTERS + secrets.token_hex(8), 99)
    )


def _weigh_tokens(count: int) -> float:
    cache = BoundedCache[bytes, Caller](count)

    def put() -> None:
        caller = Caller(secrets.token_hex(18), f"https://{secrets.token_hex(12)}", ("staff",))
        cache.put(secrets.token_bytes(32), caller, 99)

    return _weigh(count, put)


def _weigh(count: int, put: Callable[[], None]) -> float:
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(count):
        put()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) / count


def _plugin_server_mib(folder: Path) -> float:
    with running_plugin_server(folder, ["-m", "jan_media_plugin"], "jan-media.sock") as server:
        return server.resident_bytes() / 2**20


def _sidecar_mib(folder: Path) -> float:
    with running_sidecar(folder) as sidecar:
        return Processes(sidecar.process.pid).resident_bytes() / 2**20


def _result(
    operations: dict[str, tuple[list[str], list[str]]], weights: dict[str, float]
) -> Result:
    calls = Table(
        ["request", "catalog", "storage"],
        [
            [kind, ", ".join(catalog) or "none", ", ".join(storage) or "none"]
            for kind, (catalog, storage) in operations.items()
        ],
        "What a request asks of catalog (a transaction each) and storage (an S3 request each).",
        texts=3,
    )
    bytes_kept = Table(
        ["what is kept", "size"], [[name, f"{size:,.0f}"] for name, size in weights.items()]
    )
    figures = {
        "operations": {
            kind: {"catalog": catalog, "storage": storage}
            for kind, (catalog, storage) in operations.items()
        },
        "weights": weights,
    }
    return Result("keeping", [calls, bytes_kept], figures)


if __name__ == "__main__":
    run(measure, __doc__, passes=1, seconds=0)
