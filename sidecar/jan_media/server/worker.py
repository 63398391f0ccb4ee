"""One worker: both listeners, the sweep beside them, a clean end.

What it works with is made and the storage tried first. That leaves no connection and no thread, so
workers may be forked then. They share the memory of what was made, also by the first request to the
storage, and make pages their own only by writing to them.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
import uvloop
from starlette.types import ASGIApp

from jan_media.api.internal import internal_app
from jan_media.api.public import public_app
from jan_media.catalog.interface import CatalogUnavailable, SchemaTooNew
from jan_media.errors import CannotStart
from jan_media.server.http_protocol import JanHttpProtocol
from jan_media.server.listener import Listener
from jan_media.server.malloc import use_two_arenas
from jan_media.server.metrics import share_among_workers, take_place_among_workers
from jan_media.server.supervisor import STOP_SIGNALS
from jan_media.server.sweep_schedule import sweep_now_and_then
from jan_media.settings import Settings
from jan_media.sidecar import Sidecar, assemble
from jan_media.storage.interface import Storage, StorageRefused, StorageUnavailable

log = logging.getLogger("jan_media.serve")

App = tuple[ASGIApp, socket.socket]  # and what it listens on

GRACE = 20  # seconds that running requests have to finish
MIGRATE_AGAIN = 2.0  # seconds


class Worker:
    """Serves on two sockets, which are bound and listen."""

    def __init__(
        self,
        settings: Settings,
        public: socket.socket,
        internal: socket.socket,
        metrics: Path | None = None,
    ) -> None:
        """``metrics`` is the folder in which several workers share what they count.

        Raises `CannotStart` if what the settings name cannot be used; a storage that is away may
        come back.
        """
        use_two_arenas()
        if metrics is not None:
            share_among_workers(metrics)
        self._sidecar = _assembled(settings)
        _try_storage(self._sidecar.library.storage)
        self._apps = [(public_app(self._sidecar), public), (internal_app(self._sidecar), internal)]
        self._is_one_of_several = metrics is not None

    def work(self, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT. ``ready`` is called once everything answers.

        Raises `CannotStart` if the catalog cannot be used.
        """
        if self._is_one_of_several:
            take_place_among_workers()
        uvloop.run(_work(self._sidecar, self._apps, ready))


async def _work(sidecar: Sidecar, apps: list[App], ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        migrated = _migrated(sidecar)
        servers = [_server(app) for app, _ in apps]
        tasks = [
            asyncio.create_task(server.serve(sockets=[sock]))
            for server, (_, sock) in zip(servers, apps, strict=True)
        ]
        background = []
        if not migrated:
            background.append(asyncio.create_task(_migrate_later(sidecar)))
        interval = sidecar.settings.sweep_interval
        if interval:
            background.append(asyncio.create_task(sweep_now_and_then(sidecar, interval)))
        await asyncio.gather(*(server.serving.wait() for server in servers))
        ready()
        await stop.wait()
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
    finally:
        sidecar.close()


def _assembled(settings: Settings) -> Sidecar:
    try:
        return assemble(settings)
    except (OSError, ValueError, StorageUnavailable) as problem:
        raise CannotStart(str(problem)) from problem


def _try_storage(storage: Storage) -> None:
    """Raises `CannotStart` if the storage is there and refuses."""
    try:
        storage.check()
    except (OSError, ValueError, StorageRefused) as problem:
        raise CannotStart(str(problem)) from problem
    except StorageUnavailable as problem:
        log.warning("the storage does not answer yet: %s", problem)
    finally:
        storage.disconnect()


def _migrated(sidecar: Sidecar) -> bool:
    """Whether the catalog has this version's schema now. False: it does not answer yet."""
    try:
        sidecar.library.catalog.migrate()
    except CatalogUnavailable as problem:
        log.warning("the catalog does not answer yet: %s", problem)
        return False
    except SchemaTooNew as problem:
        raise CannotStart(f"MEDIA_DATABASE_URL: {problem}") from problem
    return True


async def _migrate_later(sidecar: Sidecar) -> None:
    """Bring the schema up to date once the catalog answers; until then /readyz is red."""
    while True:
        await asyncio.sleep(MIGRATE_AGAIN)
        try:
            await sidecar.lanes.downloads.run(sidecar.library.catalog.migrate)
        except CatalogUnavailable:
            continue
        except SchemaTooNew:
            log.exception("the catalog cannot be used")
        return


class _Server(uvicorn.Server):
    """A uvicorn server that says when it serves, and leaves signals to whoever runs it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])

        def protocol() -> asyncio.Protocol:
            return JanHttpProtocol(self.config, self.server_state, self.lifespan.state)

        self.servers += [Listener(sock, protocol) for sock in sockets or []]  # type: ignore[misc]
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
