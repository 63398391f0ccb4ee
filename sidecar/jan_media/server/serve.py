"""Runs the sidecar: holds its addresses, and runs one worker here, or several in processes.

Worker processes are forked from this one, which has only loaded the code. It has no connections and
no threads, since these do not survive a fork.
"""

import gc
import mmap
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from logging import getLogger
from multiprocessing.process import BaseProcess
from pathlib import Path

from jan_media.errors import CannotStart
from jan_media.server.metrics import share_among_workers
from jan_media.server.sockets import held
from jan_media.server.worker import STOP_SIGNALS, work
from jan_media.settings import Address, Settings

log = getLogger("jan_media.serve")

Work = Callable[[int, Callable[[], None]], None]
"""Serves until SIGTERM or SIGINT. It gets the worker's number, and what to call once it serves."""

RESPAWN_PAUSE = 1.0  # seconds, so that a worker that cannot start is not restarted too fast
_WORKER_SERVES = signal.SIGUSR1
_WATCHED = {*STOP_SIGNALS, _WORKER_SERVES, signal.SIGCHLD}


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. ``announce`` gets one line once everything answers.

    Raises `CannotStart` if an address is taken or what the settings name cannot be used.
    """
    with (
        held(settings.listen) as (public, listen),
        held(settings.internal_listen) as (internal, internal_listen),
    ):
        if settings.public_url == f"http://{settings.listen}":
            settings.public_url = f"http://{listen}"  # which has the real port

        def ready() -> None:
            announce(f"jan-media ready on {_shown(listen)} (internal: {_shown(internal_listen)})")

        if settings.workers == 1:
            work(settings, public, internal, ready)
            return
        with tempfile.TemporaryDirectory(prefix="jan-media-metrics-") as folder:

            def work_as(number: int, serves: Callable[[], None]) -> None:
                share_among_workers(Path(folder), number)
                work(settings, public, internal, serves)

            Supervisor(settings.workers, work_as).run(ready)


class Supervisor:
    """Keeps worker processes running, and starts another in place of one that ends.

    It blocks the signals that it handles and takes them one by one (`signal.sigwait`), so none can
    come at a wrong moment.
    """

    def __init__(self, count: int, work: Work) -> None:
        """Run ``work`` in ``count`` processes."""
        self._work = work
        self._workers: dict[int, BaseProcess] = {}  # by number
        self._serving = mmap.mmap(-1, count)  # a byte for each worker, in shared memory

    def run(self, ready: Callable[[], None]) -> None:
        """Keep the workers running until SIGTERM or SIGINT, then wait for them to finish.

        ``ready`` is called once all serve. Raises `CannotStart` if one could not start; it has
        printed the reason.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        # The garbage collector would write to the memory that workers share, and so copy it.
        gc.freeze()
        announced = False
        try:
            for number in range(len(self._serving)):
                self._start(number)
            while (came := signal.sigwait(_WATCHED)) not in STOP_SIGNALS:
                if came == signal.SIGCHLD:
                    self._replace_the_dead(started=announced)
                elif not announced and 0 not in self._serving[:]:
                    announced = True
                    ready()
        finally:
            for worker in self._workers.values():
                worker.terminate()
            for worker in self._workers.values():
                worker.join()

    def _replace_the_dead(self, *, started: bool) -> None:
        for number, worker in self._workers.items():
            if worker.is_alive():
                continue
            if self._serving[number]:
                log.error(
                    "worker %d ended with status %d; starting another", worker.pid, worker.exitcode
                )
            elif not started:
                raise CannotStart("the workers could not start; their reasons are above")
            time.sleep(RESPAWN_PAUSE)
            self._start(number)

    def _start(self, number: int) -> None:
        self._serving[number] = 0
        worker = multiprocessing.get_context("fork").Process(target=self._run, args=(number,))
        worker.start()
        self._workers[number] = worker

    def _run(self, number: int) -> None:
        """Runs in the worker's process."""
        for stop in STOP_SIGNALS:
            signal.signal(stop, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
        supervisor = os.getppid()

        def serves() -> None:
            self._serving[number] = 1
            os.kill(supervisor, _WORKER_SERVES)

        try:
            self._work(number, serves)
        except CannotStart as problem:
            sys.exit(f"jan-media: {problem}")


def _shown(address: Address) -> str:
    return str(address) if address.path else f"http://{address}"
