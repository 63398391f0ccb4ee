"""Runs blocking work outside the event loop, in lanes that cannot block each other.

Each kind of work has threads of its own: even if a hundred uploads fill theirs, a resolve finds
a free thread at once.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """A fixed number of threads for one kind of blocking work."""

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` in a thread of this lane and wait for it without blocking the loop."""
        return await asyncio.wrap_future(self.submit(work, *args, **kwargs))

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Start ``work`` in a thread of this lane. Its log lines name the current request."""
        context = copy_context()
        return self._pool.submit(lambda: context.run(work, *args, **kwargs))

    def close(self) -> None:
        """Let running work end, and start no new work."""
        self._pool.shutdown(wait=False, cancel_futures=True)
