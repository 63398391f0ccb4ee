"""Ends a handler that runs on and on without a PDK call or a wait, and so holds everybody up.

The loop cannot see that: it does not get to run. A thread looks every half second whether the same
handler still has the floor, and after the time limit sends this process SIGALRM, whose Python
handler runs in the greenlet that has it: it is interrupted even in a system call, and unwinds.
"""

import signal
import threading
import time
from dataclasses import dataclass
from types import FrameType

from greenlet import GreenletExit, getcurrent

from jan_media_plugin.server import refusal
from jan_media_plugin.server.event import Event
from jan_media_plugin.server.plugin_server import LoopPluginServer

_LOOK_EVERY = 0.5


@dataclass
class _Turn:
    """The time that a handler has the floor, from one switch to the next."""

    event: Event | None
    number: int


def watch_for_stalls(server: LoopPluginServer) -> None:
    """Start the watch. Call it in the main thread, which runs the loop."""
    stalled = _Turn(None, 0)

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        event = getattr(getcurrent(), "event", None)
        if event is None or stalled != _Turn(event, server.runs):
            return  # it has just paused
        server.logger.error(
            f"event #{event.id} ran over {server.limits.time_limit:g} s without a pause: ended"
        )
        event.final = event.final or refusal.TOO_SLOW
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
