"""Looking ids up for many requests at once: what chat requests wait for.

A look-up costs a hop to a thread, a connection of the catalog and a query, whether it asks for one
id or for fifty. So while some are running, requests that come in gather, and the next look-up is
for all of them. Under load one query serves many requests; without load each has its own at once.

Nothing is remembered: what a request gets was read from the catalog after it asked, so an id that
was deleted before does not answer.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from jan_media.lanes import Lane
from jan_media.library.resolve import Resolved

# Two, so that one that hangs (a connection whose peer is gone) does not hold up everybody.
AT_ONCE = 2
MOST_IDS = 1000  # of the requests that gather; a single one may ask for more

Waiting = tuple[Sequence[str], "asyncio.Future[Resolved]"]


class Lookups:
    """Resolves ids in a lane, those of requests that wait at the same time together."""

    def __init__(self, lane: Lane, resolve: Callable[[Sequence[str]], Resolved]) -> None:
        self._lane = lane
        self._resolve = resolve
        self._waiting: list[Waiting] = []
        self._free = AT_ONCE
        self._starting = False

    async def find(self, ids: Sequence[str]) -> Resolved:
        """What is known of ``ids`` (canonical). Raises what resolving them raises."""
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[Resolved] = loop.create_future()
        self._waiting.append((ids, mine))
        self._start_soon(loop)
        return await mine

    def _start_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        # Not at once: the loop has more requests in hand, which came in together with this one.
        if self._waiting and self._free and not self._starting:
            self._starting = True
            loop.call_soon(self._start, loop)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._starting = False
        self._free -= 1
        asking = self._gathered()
        ids = list(dict.fromkeys(id for asked, _ in asking for id in asked))
        found = asyncio.wrap_future(self._lane.submit(self._resolve, ids), loop=loop)
        found.add_done_callback(partial(self._hand_out, loop, asking))
        self._start_soon(loop)

    def _gathered(self) -> list[Waiting]:
        """The requests whose turn it is, in order."""
        taken = size = 0
        for asked, _ in self._waiting:
            size += len(asked)
            if taken and size > MOST_IDS:
                break
            taken += 1
        gathered, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return gathered

    def _hand_out(
        self,
        loop: asyncio.AbstractEventLoop,
        asking: list[Waiting],
        found: "asyncio.Future[Resolved]",
    ) -> None:
        self._free += 1
        self._start_soon(loop)
        error = None if found.cancelled() else found.exception()
        for asked, mine in asking:
            if mine.done():  # the client has gone
                continue
            if found.cancelled():  # the lane has been closed
                mine.cancel()
            elif error is None:
                mine.set_result(found.result().only(asked))
            else:
                mine.set_exception(error)
