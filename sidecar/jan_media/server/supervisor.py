"""Several workers on the same sockets; one that dies is replaced.

What a worker stands on is loaded and made in a child, the *maker*, which forks the workers and
ends. So the workers share it until they write to it, and the supervisor has none of it: it stays
small, and keeps no originals of the pages that its workers have made their own. The system gives
it the children of a maker that has ended (PR_SET_CHILD_SUBREAPER, prctl(2)).
"""

import contextlib
import ctypes
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from jan_media.errors import CannotStart
from jan_media.settings import Settings

log = logging.getLogger("jan_media.serve")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
RESPAWN_PAUSE = 1.0  # seconds, so that a worker that cannot start does not spin
_PR_SET_CHILD_SUBREAPER = 36


class Supervisor:
    """Starts the workers that the settings ask for, and others in place of those that end."""

    def __init__(
        self, settings: Settings, public: socket.socket, internal: socket.socket, metrics: Path
    ) -> None:
        """``metrics`` is a folder in which the workers share what they count."""
        self._settings = settings
        self._sockets = public, internal
        self._metrics = metrics
        self._pids: set[int] = set()  # of the workers, and of a maker while there is one
        self._stopping = False

    def supervise(self, ready: Callable[[], None]) -> None:
        """Keep the workers running until a signal, then wait for them to finish.

        Raises `CannotStart` if a worker could not start; it has said why.
        """
        for number in STOP_SIGNALS:
            signal.signal(number, self._stop)
        inherits = _inherit_orphans()
        waiting = self._settings.workers
        started, start = os.pipe()
        for count in [waiting] if inherits else [1] * waiting:
            self._start(count, start)
        os.close(start)
        # Each worker writes one byte when it serves; an early end means that one could not start.
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
        while self._pids or not self._stopping:
            if not self._stopping and len(self._pids) < self._settings.workers:
                signal.sigtimedwait([], RESPAWN_PAUSE)
                self._start(1, None)
                continue
            pid, status = os.wait()
            self._pids.discard(pid)
            if not self._stopping:
                log.error("worker %d ended with status %d; starting another", pid, status)

    def _wait_for_all(self) -> None:
        for pid in list(self._pids):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def _stop(self, *_: object) -> None:
        self._stopping = True
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _start(self, count: int, start: int | None) -> None:
        """Have workers made: a maker is the only one itself, or forks them all and ends.

        Returns when they exist, or the maker has failed. To ``start`` each writes when it serves.
        """
        with _no_stop_signals():
            if self._stopping:
                return
            born, birth = os.pipe()
            maker = os.fork()
            if not maker:
                os.close(born)
                self._make(count, birth, start)
            self._pids.add(maker)
        os.close(birth)
        with open(born) as pids:
            workers = set(map(int, pids))
        with _no_stop_signals():
            self._pids |= workers
            if maker not in workers:
                os.waitpid(maker, 0)
                self._pids.discard(maker)
        if self._stopping:  # the signal came while they were being made
            self._stop()

    def _make(self, count: int, birth: int, start: int | None) -> NoReturn:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

        def ready() -> None:
            if start is not None:
                os.write(start, b".")
                os.close(start)

        try:
            from jan_media.server.worker import Worker

            worker = Worker(self._settings, *self._sockets, self._metrics)
            if count > 1 and not _forked(count):
                os._exit(0)
            os.write(birth, b"%d\n" % os.getpid())
            os.close(birth)
            worker.work(ready)
        except CannotStart as problem:
            print(f"jan-media: {problem}", file=sys.stderr, flush=True)
            os._exit(1)
        except BaseException:
            log.exception("the worker failed")
            os._exit(1)
        os._exit(0)


def _forked(count: int) -> bool:
    """Fork ``count`` times: True in each child, False in the one that was there before."""
    # The garbage collector would write to every object that the workers have in common.
    gc.freeze()
    with _no_stop_signals():  # all of them, or none
        return any(not os.fork() for _ in range(count))


def _inherit_orphans() -> bool:
    """Become the parent of children whose parent ends. False: this system has no such thing."""
    try:
        return ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0  # type: ignore[no-any-return]
    except (AttributeError, OSError, TypeError):
        return False


@contextlib.contextmanager
def _no_stop_signals() -> Iterator[None]:
    """Signals that come meanwhile come afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
