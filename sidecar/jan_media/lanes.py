"""Blocking work off the event loop, in lanes that cannot hold each other up.

Each kind of work has threads of its own: a hundred uploads may fill theirs and a resolve still
finds a free thread at once.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from jan_media.errors import TooBusy

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """A fixed number of threads for one kind of blocking work."""

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` in a thread of this lane and wait for it without blocking the loop."""
        return await self.wait(self.submit(work, *args, **kwargs))

    async def wait(self, started: "Future[T]") -> T:
        """Wait for work that was started, without blocking the loop."""
        return await asyncio.wrap_future(started)

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Start ``work`` in a thread of this lane."""
        return self._pool.submit(work, *args, **kwargs)

    def close(self) -> None:
        """Let running work end and start no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Admission:
    """So many requests of a kind at once; the next ones wait a little, then are sent away."""

    def __init__(self, at_once: int, *, patience: float = 10.0, waiting: int = 512) -> None:
        self._at_once = at_once
        self._free = asyncio.Semaphore(at_once)
        self._patience = patience
        self._may_wait = waiting

    @contextlib.asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Hold one place. Raises `TooBusy` if none becomes free in time."""
        if self._may_wait <= 0:
            raise TooBusy(self._at_once)
        self._may_wait -= 1
        try:
            if self._free.locked():
                await asyncio.wait_for(self._free.acquire(), self._patience)
            else:
                await self._free.acquire()  # which does not wait, and makes no task to be timed
        except TimeoutError:
            raise TooBusy(self._at_once) from None
        finally:
            self._may_wait += 1
        try:
            yield
        finally:
            self._free.release()
