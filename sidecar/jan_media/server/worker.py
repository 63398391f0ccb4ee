"""One worker: a server for each of the two listeners in one event loop, and a clean shutdown."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable

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
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


def work(
    settings: Settings,
    public: socket.socket,
    internal: socket.socket,
    serves: Callable[[], None],
) -> None:
    """Serve at the addresses that two sockets hold, until SIGTERM or SIGINT.

    ``serves`` is called once everything answers. Raises `CannotStart` if what the settings name
    cannot be used. A storage or a database that is unavailable is no error: it may come back.
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
    servers: list[tuple[uvicorn.Server, socket.socket]],
    serves: Callable[[], None],
    *,
    migrated: bool,
) -> None:
    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # Not by `Server.serve`, which handles the signals itself and does not tell when it serves.
    for server, sock in servers:
        await server.startup(sockets=[sock])
    beside = [server.main_loop() for server, _ in servers]
    if sidecar.settings.sweep_interval:
        beside.append(sweep_now_and_then(sidecar, sidecar.settings.sweep_interval))
    if not migrated:
        beside.append(migrate_later(sidecar))
    background = [asyncio.create_task(each) for each in beside]
    serves()
    await stop.wait()
    await asyncio.gather(*(server.shutdown(sockets=[sock]) for server, sock in servers))
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)


def _try_storage(storage: Storage) -> None:
    """Raises `CannotStart` if the storage refuses us. An unavailable one may come back."""
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


def _server(app: ASGIApp) -> uvicorn.Server:
    config = uvicorn.Config(
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
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    return server
