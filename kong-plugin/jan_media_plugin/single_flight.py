"""Joins concurrent questions about one key into one question."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Calls ``fetch`` for keys, and never twice at the same time for one key."""

    def __init__(self, fetch: Callable[[Sequence[K]], Awaitable[dict[K, V]]]) -> None:
        self._fetch = fetch
        self._flights: dict[K, asyncio.Task[dict[K, V]]] = {}

    async def get(self, keys: Sequence[K]) -> dict[K, V]:
        """Return the answers of ``fetch`` for ``keys``, in one call for those not in flight yet.

        Raises what ``fetch`` raises. A caller that is cancelled leaves its flight to the others.
        """
        new = [key for key in keys if key not in self._flights]
        if new:
            self._flights.update(dict.fromkeys(new, asyncio.create_task(self._fly(new))))
        answers: dict[K, V] = {}
        for flight in {self._flights[key] for key in keys}:
            answers |= await asyncio.shield(flight)
        return {key: answers[key] for key in keys}

    async def _fly(self, keys: Sequence[K]) -> dict[K, V]:
        try:
            return await self._fetch(keys)
        finally:
            for key in keys:
                del self._flights[key]
