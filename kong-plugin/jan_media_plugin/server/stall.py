"""Ends a handler that runs on and on without a PDK call or a wait, and so holds everybody up.

The loop cannot see that: it does not get to run. A thread looks every half second whether the same
handler still has the floor, and after the time limit sends this process SIGALRM, whose Python
handler runs in the greenlet that has it: it is interrupted even in a system call, and unwinds.
"""

import signal
import threading
import time
from types import FrameType

from greenlet import GreenletExit

from jan_media_plugin.server import refusal
from jan_media_plugin.server.event import Event, current_event
from jan_media_plugin.server.plugin_server import LoopPluginServer

_LOOK_EVERY = 0.5


def watch_for_stalls(server: LoopPluginServer) -> None:
    """Start the watch. Call it in the main thread, which runs the loop."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        try:
            event = current_event()
        except RuntimeError:
            return  # it has just paused
        server.logger.error(
            f"event #{event.id} ran over {server.limits.time_limit:g} s without a pause: ended"
        )
        event.final = event.final or refusal.TOO_SLOW
        raise GreenletExit

    signal.signal(signal.SIGALRM, interrupt)
    main = threading.main_thread().ident
    assert main is not None
    threading.Thread(target=_watch, args=(server, main), name="stall watch", daemon=True).start()


def _watch(server: LoopPluginServer, main: int) -> None:
    seen: tuple[Event | None, int] = (None, 0)
    since = time.monotonic()
    while True:
        time.sleep(min(_LOOK_EVERY, server.limits.time_limit / 4))
        now = (server.running, server.runs)
        if now[0] is None or now != seen:
            seen = now
            since = time.monotonic()
        elif time.monotonic() - since > server.limits.time_limit:
            signal.pthread_kill(main, signal.SIGALRM)
            since = time.monotonic()
