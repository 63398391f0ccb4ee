"""Looking ids up for many requests at once: what chat requests wait for.

A look-up costs a hop to a thread, a connection of the catalog and a query, whether it asks for one
id or for fifty. So requests that come while look-ups run wait, and the next one asks for all of
them: under load one query serves many. Nothing is remembered: what a request gets was read after it
asked, so an id that was deleted before is not found.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from itertools import chain
from typing import NamedTuple

from jan_media.catalog.interface import Media
from jan_media.server.lanes import Lane

AT_ONCE = 4  # so that one that hangs (its connection's peer is gone) does not hold up everybody

# One request that asks for many ids does not hold up those that ask for few.
MOST_IDS = 16  # of a request that shares a query
MOST_REQUESTS = 64  # that share one

Known = dict[str, Media]


class _Waiting(NamedTuple):
    ids: Sequence[str]
    answer: "asyncio.Future[Known]"
    context: Context  # the first of those that share a query has it in the log and in its trace


class Lookups:
    """Looks up ids in a lane, those of requests that wait at the same time together."""

    def __init__(self, lane: Lane, look_up: Callable[[Sequence[str]], Known]) -> None:
        self._lane = lane
        self._look_up = look_up
        self._waiting: list[_Waiting] = []
        self._running: set[asyncio.Task[None] | None] = set()

    async def find(self, ids: Sequence[str]) -> Known:
        """What is known of ``ids`` (canonical), and maybe of others, by id.

        Raises what ``look_up`` raises.
        """
        if len(ids) > MOST_IDS:
            return await self._lane.run(self._look_up, ids)
        answer: asyncio.Future[Known] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(ids, answer, copy_context()))
        if len(self._running) < AT_ONCE:
            self._running.add(asyncio.create_task(self._run()))
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                asking = self._waiting[:MOST_REQUESTS]
                del self._waiting[:MOST_REQUESTS]
                await self._answer(asking)
        finally:
            self._running.discard(asyncio.current_task())

    async def _answer(self, asking: Sequence[_Waiting]) -> None:
        ids = dict.fromkeys(chain.from_iterable(each.ids for each in asking))
        found, error = {}, None
        try:
            started = asking[0].context.run(self._lane.submit, self._look_up, list(ids))
            found = await self._lane.wait(started)
        except Exception as problem:
            error = problem
        for _, answer, _ in asking:
            if answer.done():  # the client has gone
                continue
            if error is None:
                answer.set_result(found)
            else:
                answer.set_exception(error)
