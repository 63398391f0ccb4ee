"""Looking ids up for many requests at once: what chat requests wait for.

A look-up costs a hop to a thread, a connection of the catalog and a query, whether it asks for one
id or for fifty. So requests that come while look-ups run wait, and the next one asks for all of
them: under load one query serves many. Nothing is remembered: what a request gets was read after it
asked, so an id that was deleted before is not found.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import chain

from jan_media.catalog.interface import Media
from jan_media.server.lanes import Lane

AT_ONCE = 4  # so that one that hangs (its connection's peer is gone) does not hold up everybody

# One request that asks for many ids does not hold up those that ask for few.
MOST_IDS = 16  # of a request that shares a query
MOST_REQUESTS = 64  # that share one

Known = dict[str, Media]


class Lookups:
    """Looks up ids in a lane, those of requests that wait at the same time together."""

    def __init__(self, lane: Lane, look_up: Callable[[Sequence[str]], Known]) -> None:
        self._lane = lane
        self._look_up = look_up
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._asked: list[Sequence[str]] = []  # by each request that shares the next query
        self._answer: asyncio.Task[Known]

    async def find(self, ids: Sequence[str]) -> Known:
        """What is known of ``ids`` (canonical), and maybe of others, by id.

        Raises what ``look_up`` raises.
        """
        if len(ids) > MOST_IDS:
            return await self._lane.run(self._look_up, ids)
        if not 0 < len(self._asked) < MOST_REQUESTS:
            self._asked = []
            # It has the first of these requests in the log and in its trace.
            self._answer = asyncio.create_task(self._ask_for(self._asked))
        self._asked.append(ids)
        return await asyncio.shield(self._answer)  # the others wait for it, too

    async def _ask_for(self, asked: list[Sequence[str]]) -> Known:
        async with self._turns:
            if asked is self._asked:
                self._asked = []  # who comes now waits for the next query
            ids = dict.fromkeys(chain.from_iterable(asked))
            return await self._lane.run(self._look_up, list(ids))
