"""One worker: a server for each of the two listeners in one event loop, and a clean end."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator

import uvicorn
import uvloop
from starlette.types import ASGIApp

from jan_media import tracing
from jan_media.api.internal import internal_app
from jan_media.api.public import public_app
from jan_media.catalog.catalog import Catalog
from jan_media.catalog.interface import CatalogUnavailable, SchemaTooNew
from jan_media.errors import CannotStart
from jan_media.server.background import migrate_later, sweep_now_and_then
from jan_media.server.http_protocol import JanHttpProtocol
from jan_media.server.sockets import of_worker
from jan_media.settings import Settings
from jan_media.sidecar import Sidecar
from jan_media.storage.interface import Storage, StorageRefused, StorageUnavailable

log = logging.getLogger("jan_media.serve")

GRACE = 20  # seconds that running requests have to finish
STOP_SIGNALS = uvicorn.server.HANDLED_SIGNALS


def work(
    settings: Settings,
    public: socket.socket,
    internal: socket.socket,
    serves: Callable[[], None],
) -> None:
    """Serve at the addresses that two sockets hold, until SIGTERM or SIGINT.

    ``serves`` is called once everything answers. Raises `CannotStart` if what the settings name
    cannot be used; a storage or a database that is away may come back.
    """
    try:
        sidecar = Sidecar(settings)
    except (OSError, ValueError, StorageUnavailable) as problem:
        raise CannotStart(str(problem)) from problem
    tracing.start("jan-media-sidecar")
    try:
        _try_storage(sidecar.library.storage)
        migrated = _migrated(sidecar.library.catalog)
        servers = [
            (_server(public_app(sidecar)), of_worker(public)),
            (_server(internal_app(sidecar)), of_worker(internal)),
        ]
        uvloop.run(_work(sidecar, servers, serves, migrated=migrated))
    finally:
        sidecar.close()
        tracing.stop()


async def _work(
    sidecar: Sidecar,
    servers: list[tuple["_Server", socket.socket]],
    serves: Callable[[], None],
    *,
    migrated: bool,
) -> None:
    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serving = [asyncio.create_task(server.serve(sockets=[sock])) for server, sock in servers]
    beside = []
    if sidecar.settings.sweep_interval:
        beside.append(sweep_now_and_then(sidecar, sidecar.settings.sweep_interval))
    if not migrated:
        beside.append(migrate_later(sidecar))
    background = [asyncio.create_task(each) for each in beside]
    for server, _ in servers:
        await server.serving.wait()
    serves()
    await stop.wait()
    for server, _ in servers:
        server.should_exit = True
    await asyncio.gather(*serving)
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)


def _try_storage(storage: Storage) -> None:
    """Raises `CannotStart` if the storage is there and refuses."""
    try:
        storage.check()
    except (OSError, ValueError, StorageRefused) as problem:
        raise CannotStart(str(problem)) from problem
    except StorageUnavailable as problem:
        log.warning("the storage does not answer yet: %s", problem)


def _migrated(catalog: Catalog) -> bool:
    """Whether the catalog has this version's schema now. False: it does not answer yet."""
    try:
        catalog.migrate()
    except CatalogUnavailable as problem:
        log.warning("the catalog does not answer yet: %s", problem)
        return False
    except SchemaTooNew as problem:
        raise CannotStart(f"MEDIA_DATABASE_URL: {problem}") from problem
    return True


class _Server(uvicorn.Server):
    """A uvicorn server that says when it serves, and leaves signals to the worker."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.serving.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: ASGIApp) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            http=JanHttpProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            # Identity comes from the gateway's own headers; forwarded addresses are not needed.
            proxy_headers=False,
            server_header=False,
            # Longer than the gateway keeps idle connections, so that it never sends into one
            # that is being closed.
            timeout_keep_alive=90,
            timeout_graceful_shutdown=GRACE,
        )
    )
