"""Looks up ids for many requests at once. Chat requests wait for this.

A look-up costs a hop to a thread, a connection of the catalog and a query, for one id as for fifty.
So requests that come while look-ups run wait, and the next look-up asks for the ids of all of them:
under load one query serves many requests. Nothing is cached: a request gets only what was read
after it came, so an id that was deleted before is not found.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import chain

from jan_media.catalog.interface import Media
from jan_media.server.lanes import Lane

AT_ONCE = 4  # so that one that hangs (its database server is gone) does not block all requests

# A request for many ids must not delay the requests for few.
MOST_IDS = 16  # of a request that shares a query
MOST_REQUESTS = 64  # that share one

Known = dict[str, Media]


class Lookups:
    """Looks up ids in a lane. Requests that wait at the same time share a query."""

    def __init__(self, lane: Lane, look_up: Callable[[Sequence[str]], Known]) -> None:
        self._lane = lane
        self._look_up = look_up
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._asked: list[Sequence[str]] = []  # by each request that shares the next query
        self._answer: asyncio.Task[Known]

    async def find(self, ids: Sequence[str]) -> Known:
        """The known media of ``ids`` (canonical), and maybe of other ids, by id.

        Raises what ``look_up`` raises.
        """
        if len(ids) > MOST_IDS:
            return await self._lane.run(self._look_up, ids)
        if not 0 < len(self._asked) < MOST_REQUESTS:
            self._asked = []
            # It has the first of these requests in the log and in its trace.
            self._answer = asyncio.create_task(self._ask_for(self._asked))
            # asyncio would log a failure that nobody is left to hear of.
            self._answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._asked.append(ids)
        return await asyncio.shield(self._answer)  # the others wait for it, too

    async def _ask_for(self, asked: list[Sequence[str]]) -> Known:
        async with self._turns:
            if asked is self._asked:
                self._asked = []  # who comes now waits for the next query
            ids = dict.fromkeys(chain.from_iterable(asked))
            return await self._lane.run(self._look_up, list(ids))
