"""Two watches over this process: that it keeps running, and that no handler blocks the others."""

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

    Kong has then proxied the requests without us and put their connections back into its pool,
    where a late answer would be taken for that of the next request. So nothing is answered late:
    connections are closed, and Kong silently replaces a closed connection.

    ``patience`` is Kong's read timeout in seconds; ``transports`` holds what is open.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.transports: set[asyncio.Transport] = set()
        self._moved_at = time.monotonic()
        self._backlog_until = 0.0

    def noticed(self) -> bool:
        """Whether what arrives now was sent before the end of a freeze, and must be dropped."""
        now = time.monotonic()
        if now - self._moved_at < self.patience:
            return now < self._backlog_until
        self._moved_at = now
        self._backlog_until = now + _BACKLOG_TAKES  # connections that were not accepted yet
        for transport in list(self.transports):
            transport.abort()
        return True

    def beat(self) -> None:
        """Record that the process runs. Call it every second."""
        if not self.noticed():
            self._moved_at = time.monotonic()


class Stalls:
    """Ends handlers that run too long without an await. Belongs to the main thread.

    The loop cannot notice them, since it does not run meanwhile. An alarm, which each beat of the
    loop postpones by the time limit, interrupts whatever runs then, even in a system call.
    """

    def __init__(self, server: LoopPluginServer) -> None:
        self._server = server
        self._seconds = server.limits.time_limit + server.limits.beat
        signal.signal(signal.SIGALRM, self._interrupt)

    def beat(self) -> None:
        """Record that the loop runs."""
        signal.setitimer(signal.ITIMER_REAL, self._seconds, self._seconds)

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        running = asyncio.current_task() if self._server.events else None
        for event in self._server.events.values():
            if event.task is running:
                limit = self._server.limits.time_limit
                log.error("event #%d ran over %g s without a pause: ended", event.id, limit)
                event.final = event.final or TOO_SLOW
                raise Ended
