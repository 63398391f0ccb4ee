"""Two watches over this process: that it moves, and that no handler holds everybody else up."""

import asyncio
import logging
import signal
import time
from types import FrameType

from jan_media_plugin.server.event import TOO_SLOW, Ended
from jan_media_plugin.server.plugin_server import LoopPluginServer

log = logging.getLogger(__name__)

_BACKLOG_TAKES = 0.2


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


class Stalls:
    """Ends handlers that run on and on without an await. Belongs to the main thread.

    The loop cannot see them: it does not get to run. An alarm that nobody has put off for the time
    limit interrupts whatever runs then, even in a system call.
    """

    def __init__(self, server: LoopPluginServer) -> None:
        self._server = server
        self._seconds = server.limits.time_limit + server.limits.beat
        signal.signal(signal.SIGALRM, self._interrupt)

    def beat(self) -> None:
        """Say that the loop runs."""
        signal.setitimer(signal.ITIMER_REAL, self._seconds, self._seconds)

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        running = asyncio.current_task() if self._server.events else None
        for event in self._server.events.values():
            if event.task is running:
                limit = self._server.limits.time_limit
                log.error("event #%d ran over %g s without a pause: ended", event.id, limit)
                event.final = event.final or TOO_SLOW
                raise Ended
