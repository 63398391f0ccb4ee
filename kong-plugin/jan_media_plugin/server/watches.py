"""Two watches over this process: that it moves, and that no handler holds everybody else up."""

import asyncio
import signal
import threading
import time
from dataclasses import dataclass
from types import FrameType

from greenlet import GreenletExit, getcurrent

from jan_media_plugin.server.event import TOO_SLOW, Event
from jan_media_plugin.server.plugin_server import LoopPluginServer

_BACKLOG_TAKES = 0.2
_LOOK_EVERY = 0.5


class Freeze:
    """Notices that this process stood still (SIGSTOP, a frozen container) longer than Kong waits.

    Kong then has proxied the requests un-plugged and put their connections back into its pool,
    where a late answer would be taken for that of the next request. So nothing is answered late:
    connections are closed, and Kong replaces a closed connection without a word.

    ``patience`` is Kong's read timeout in seconds; ``transports`` holds what is open.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.transports: set[asyncio.Transport] = set()
        self._moved_at = time.monotonic()
        self._backlog_until = 0.0

    def noticed(self) -> bool:
        """Whether what arrives now is from before the end of a freeze, and to be dropped."""
        now = time.monotonic()
        if now - self._moved_at < self.patience:
            return now < self._backlog_until
        self._moved_at = now
        self._backlog_until = now + _BACKLOG_TAKES  # connections nobody had accepted yet
        for transport in list(self.transports):
            transport.abort()
        return True

    def beat(self) -> None:
        """Say that the process moves. Call it every second."""
        if not self.noticed():
            self._moved_at = time.monotonic()


@dataclass
class _Turn:
    """The time that a handler has the floor, from one switch to the next."""

    event: Event | None
    number: int


def watch_for_stalls(server: LoopPluginServer) -> None:
    """End handlers that run on and on without a PDK call or a wait. Call it in the main thread.

    The loop cannot see them: it does not get to run. A thread looks every half second whether the
    same handler still has the floor, and after the time limit sends this process SIGALRM, whose
    Python handler runs in the greenlet that has it: it is interrupted even in a system call.
    """
    stalled = _Turn(None, 0)

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        event = getattr(getcurrent(), "event", None)
        if event is None or stalled != _Turn(event, server.runs):
            return  # it has just paused
        server.logger.error(
            f"event #{event.id} ran over {server.limits.time_limit:g} s without a pause: ended"
        )
        event.final = event.final or TOO_SLOW
        raise GreenletExit

    signal.signal(signal.SIGALRM, interrupt)
    threading.Thread(target=_watch, args=(server, stalled), name="stalls", daemon=True).start()


def _watch(server: LoopPluginServer, stalled: _Turn) -> None:
    main = threading.main_thread().ident
    assert main is not None
    limit = server.limits.time_limit
    turn, since = _Turn(None, 0), time.monotonic()
    while True:
        time.sleep(min(_LOOK_EVERY, limit / 4))
        now = _Turn(server.running, server.runs)
        if now.event is None or now != turn:
            turn, since = now, time.monotonic()
        elif time.monotonic() - since > limit:
            stalled.event, stalled.number = now.event, now.number
            signal.pthread_kill(main, signal.SIGALRM)
            since = time.monotonic()
