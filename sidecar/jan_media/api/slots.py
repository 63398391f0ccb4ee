"""Slots for what takes long, shared fairly: so many at once, and so many for each caller.

A request that finds no slot waits a little, then is sent away. While others wait, the senders that
are slowest lose their slots first, so that neither slow networks nor silence by intent keep
anybody out.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from jan_media.errors import Refused, TooBusy

FAIR_RATE = 32 * 1024  # bytes a second: who sends less may lose the slot to somebody who waits
FAIR_SECONDS = 3.0  # of waiting for the sender, before it is called slow
WINDOW = 10.0  # seconds of waiting for the sender, after which older ones count less and less
LOOK_AGAIN = 0.5  # seconds between two looks for slow senders


class Slot:
    """A slot that somebody holds, and how fast its sender is. Time that we take does not count."""

    def __init__(self, caller: str) -> None:
        self.caller = caller
        self.lost = False
        self._bytes = 0
        self._seconds = 0.0
        self._since = 0.0
        self._waiting: asyncio.Timeout | None = None

    def wait_for_sender(self, limit: asyncio.Timeout) -> None:
        """The next bytes are waited for now, under a time limit that `lose` may bring forward."""
        if self.lost:
            limit.reschedule(0)
        self._waiting = limit
        self._since = asyncio.get_running_loop().time()

    def received(self, count: int) -> None:
        """So many bytes came, and are no longer waited for."""
        self._seconds += asyncio.get_running_loop().time() - self._since
        self._bytes += count
        self._waiting = None
        if self._seconds > WINDOW:
            self._seconds /= 2
            self._bytes //= 2

    def slowness(self) -> float:
        """Seconds for each byte if the sender is slow just now; 0.0 if it is not."""
        if self._waiting is None or self.lost:
            return 0.0
        seconds = self._seconds + asyncio.get_running_loop().time() - self._since
        if seconds < FAIR_SECONDS or self._bytes >= seconds * FAIR_RATE:
            return 0.0
        return seconds / (self._bytes + 1)

    def lose(self) -> None:
        """Make whoever waits for the sender give the slot back."""
        self.lost = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    slot: Slot
    share: int
    whole: bool
    given: "asyncio.Future[None]"


class Slots:
    """``at_once`` slots, of which one caller holds at most half, and a guest a quarter."""

    def __init__(self, at_once: int, *, patience: float = 10.0, waiting: int = 512) -> None:
        """``patience`` is how many seconds a request waits; of ``waiting`` requests that wait, one
        caller may have a quarter."""
        self._at_once = at_once
        self._patience = patience
        self._may_wait = waiting
        self._held: Counter[str] = Counter()
        self._holders: set[Slot] = set()
        self._queue: list[_Waiting] = []

    @asynccontextmanager
    async def taken(
        self, caller: str, *, guest: bool = False, whole: bool = False
    ) -> AsyncIterator[Slot]:
        """Hold a slot. Requests whose body is here as a ``whole`` come before others.

        Raises `TooBusy` if no slot becomes free in time, and `Refused` (``too_many_requests``) if
        that is because the caller holds a whole share.
        """
        share = max(1, self._at_once // (4 if guest else 2))
        given = asyncio.get_running_loop().create_future()
        waiting = _Waiting(Slot(caller), share, whole, given)
        ahead = sum(each.whole for each in self._queue) if whole else len(self._queue)
        self._queue.insert(ahead, waiting)
        self._hand_out()
        try:
            if not given.done():
                await self._wait(waiting)
            yield waiting.slot
        finally:
            if given.done():
                self._take_back(waiting.slot)
            else:
                self._queue.remove(waiting)

    async def _wait(self, waiting: _Waiting) -> None:
        caller = waiting.slot.caller
        of_caller = sum(each.slot.caller == caller for each in self._queue)
        if of_caller > max(1, self._may_wait // 4):
            raise self._share_is_full(waiting.share)
        if len(self._queue) > self._may_wait:
            raise TooBusy(self._at_once)
        loop = asyncio.get_running_loop()
        end = loop.time() + self._patience
        while not waiting.given.done():
            left = end - loop.time()
            if left <= 0:
                if self._held[caller] >= waiting.share:
                    raise self._share_is_full(waiting.share)
                raise TooBusy(self._at_once)
            self._evict_slow()
            await asyncio.wait([waiting.given], timeout=min(left, LOOK_AGAIN))

    def _has_room_for(self, caller: str, share: int) -> bool:
        return len(self._holders) < self._at_once and self._held[caller] < share

    def _give(self, slot: Slot) -> None:
        self._holders.add(slot)
        self._held[slot.caller] += 1

    def _take_back(self, slot: Slot) -> None:
        self._holders.discard(slot)
        self._held[slot.caller] -= 1
        if not self._held[slot.caller]:
            del self._held[slot.caller]
        self._hand_out()

    def _hand_out(self) -> None:
        for waiting in list(self._queue):
            if len(self._holders) >= self._at_once:
                return
            if self._has_room_for(waiting.slot.caller, waiting.share):
                self._queue.remove(waiting)
                self._give(waiting.slot)
                waiting.given.set_result(None)

    def _evict_slow(self) -> None:
        """Let the slowest senders lose as many slots as others wait for."""
        waiting = sum(self._held[each.slot.caller] < each.share for each in self._queue)
        leaving = sum(slot.lost for slot in self._holders)
        slow = [slot for slot in self._holders if slot.slowness()]
        slow.sort(key=Slot.slowness, reverse=True)
        for slot in slow[: max(0, waiting - leaving)]:
            slot.lose()

    @staticmethod
    def _share_is_full(share: int) -> Refused:
        return Refused(
            "too_many_requests",
            f"You have {share} requests of this kind running, as many as one caller may: "
            "let one end first",
        )
