"""Running the sidecar: both listeners in every worker, the sweep beside them, a clean end.

The sockets are bound once, before any worker is forked, so that all workers take connections from
the same ones. The apps and what they stand on are made before that too: a worker then shares their
memory, and makes pages its own only by writing to them. A worker that dies is replaced; SIGTERM or
SIGINT lets running requests finish.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import uvicorn
import uvloop
from starlette.types import ASGIApp

from jan_media.api.internal import internal_app
from jan_media.api.public import public_app
from jan_media.catalog.interface import CatalogUnavailable, SchemaTooNew
from jan_media.http_protocol import JanHttpProtocol
from jan_media.listener import Listener
from jan_media.malloc import use_two_arenas
from jan_media.settings import Address, Settings
from jan_media.sidecar import Sidecar, assemble
from jan_media.storage.interface import StorageRefused, StorageUnavailable
from jan_media.sweeping import sweep_now_and_then

log = logging.getLogger("jan_media.serve")

App = tuple[ASGIApp, socket.socket]  # and what it listens on

GRACE = 20  # seconds that running requests have to finish
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
MIGRATE_AGAIN = 2.0  # seconds
PUBLISH_AGAIN = 1.0  # seconds
RESPAWN_PAUSE = 1.0  # seconds, so that a worker that cannot start does not spin


class CannotStart(Exception):
    """Why the sidecar cannot serve; the message is for the operator."""


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. ``announce`` gets one line once everything answers.

    Raises `CannotStart` if an address is taken or what the settings name cannot be used.
    """
    with _listening(settings.listen) as public, _listening(settings.internal_listen) as internal:
        settings = _with_real_ports(settings, public, internal)
        use_two_arenas()
        sidecar = _assembled(settings)
        apps = [(public_app(sidecar), public), (internal_app(sidecar), internal)]

        def ready() -> None:
            announce(
                f"jan-media ready on {_shown(settings.listen)} "
                f"(internal: {_shown(settings.internal_listen)})"
            )

        if settings.workers == 1:
            uvloop.run(_work(sidecar, apps, ready))
        else:
            with tempfile.TemporaryDirectory(prefix="jan-media-metrics-") as folder:
                _Workers(sidecar, apps, Path(folder)).supervise(ready)


async def _work(sidecar: Sidecar, apps: list[App], ready: Callable[[], None]) -> None:
    """One worker, until a signal."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        _check_storage(sidecar)
        migrated = _migrated(sidecar)
        servers = [_server(app) for app, _ in apps]
        tasks = [
            asyncio.create_task(server.serve(sockets=[sock]))
            for server, (_, sock) in zip(servers, apps, strict=True)
        ]
        background = [asyncio.create_task(_publish_now_and_then(sidecar))]
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


def _check_storage(sidecar: Sidecar) -> None:
    """Raises `CannotStart` if the storage is there and refuses. One that is away may come back."""
    try:
        sidecar.library.storage.check()
    except (OSError, ValueError, StorageRefused) as problem:
        raise CannotStart(str(problem)) from problem
    except StorageUnavailable as problem:
        log.warning("the storage does not answer yet: %s", problem)


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


async def _publish_now_and_then(sidecar: Sidecar) -> None:
    """Show the other workers what this one counts."""
    while True:
        await asyncio.sleep(PUBLISH_AGAIN)
        try:
            await sidecar.lanes.downloads.run(sidecar.metrics.publish)
        except OSError:
            log.exception("the metrics cannot be shared")


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


class _Workers:
    """Several forked workers on the same sockets."""

    def __init__(self, sidecar: Sidecar, apps: list[App], metrics: Path) -> None:
        self._sidecar = sidecar
        self._apps = apps
        self._metrics = metrics
        self._pids: set[int] = set()
        self._stopping = False

    def supervise(self, ready: Callable[[], None]) -> None:
        """Keep the workers running until a signal, then wait for them to finish."""
        # The garbage collector would write to every object that the workers have in common.
        gc.freeze()
        started, start = os.pipe()
        for number in STOP_SIGNALS:
            signal.signal(number, self._stop)
        for _ in range(self._sidecar.settings.workers):
            self._fork(start)
        os.close(start)
        # Each worker writes one byte when it serves; an early end means that one could not start.
        waiting = self._sidecar.settings.workers
        while waiting and (signs := os.read(started, waiting)):
            waiting -= len(signs)
        os.close(started)
        if waiting and not self._stopping:
            self._stop()
            self._wait_for_all()
            raise CannotStart("the workers could not start; their reasons are above")
        if not waiting:
            ready()
        self._replace_the_dead()

    def _replace_the_dead(self) -> None:
        while self._pids:
            try:
                pid, status = os.wait()
            except ChildProcessError:
                return
            self._pids.discard(pid)
            if not self._stopping:
                log.error("worker %d ended with status %d; starting another", pid, status)
                signal.sigtimedwait([], RESPAWN_PAUSE)
                self._fork(None)

    def _wait_for_all(self) -> None:
        for pid in list(self._pids):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def _stop(self, *_: object) -> None:
        self._stopping = True
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _fork(self, start: int | None) -> None:
        pid = os.fork()
        if pid:
            self._pids.add(pid)
            if self._stopping:  # the signal came while this one was being made
                os.kill(pid, signal.SIGTERM)
            return
        self._be_worker(start)

    def _be_worker(self, start: int | None) -> NoReturn:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)

        def ready() -> None:
            if start is not None:
                os.write(start, b".")
                os.close(start)

        try:
            self._sidecar.metrics.share(self._metrics / f"{uuid.uuid4().hex}.counts")
            uvloop.run(_work(self._sidecar, self._apps, ready))
        except CannotStart as problem:
            print(f"jan-media: {problem}", file=sys.stderr, flush=True)
            os._exit(1)
        except BaseException:
            log.exception("the worker failed")
            os._exit(1)
        os._exit(0)


@contextlib.contextmanager
def _listening(address: Address) -> Iterator[socket.socket]:
    """A bound and listening socket; of a Unix socket also its file, which goes at the end."""
    try:
        sock = _bind_unix(address.path) if address.path else _bind_tcp(address)
    except OSError as problem:
        raise CannotStart(f"cannot listen on {address}: {problem.strerror}") from problem
    owner = os.getpid()
    with sock:
        sock.listen(2048)
        sock.setblocking(False)
        sock.set_inheritable(True)
        yield sock
    if address.path and os.getpid() == owner:
        Path(address.path).unlink(missing_ok=True)


def _bind_tcp(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
    except OSError:
        sock.close()
        raise
    return sock


def _bind_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if Path(path).is_socket() and sock.connect_ex(path) != 0:
            Path(path).unlink()  # left behind by a process that was killed
        sock.close()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(path)
        # The gateway may run as another user; without a secret only our own group may call.
        os.chmod(path, 0o660)
    except OSError:
        sock.close()
        raise
    return sock


def _with_real_ports(
    settings: Settings, public: socket.socket, internal: socket.socket
) -> Settings:
    """The settings with the ports that the system chose where they say 0."""
    listen, internal_listen = (
        address if address.path or address.port else replace(address, port=sock.getsockname()[1])
        for address, sock in ((settings.listen, public), (settings.internal_listen, internal))
    )
    public_url = settings.public_url
    if public_url == f"http://{settings.listen}":
        public_url = f"http://{listen}"
    return replace(settings, listen=listen, internal_listen=internal_listen, public_url=public_url)


def _shown(address: Address) -> str:
    return str(address) if address.path else f"http://{address}"
