"""Notices that this process stood still (SIGSTOP, a frozen container) for longer than Kong waits.

Kong then has proxied the requests un-plugged and put their connections back into its pool, where a
late answer would be taken for that of the next request. So nothing is answered late: connections
are closed, and Kong replaces a closed connection without a word.
"""

import asyncio
import time

_BACKLOG_TAKES = 0.2


class Freeze:
    """``patience`` is Kong's read timeout in seconds; ``transports`` holds what is open."""

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
