"""Slots for what takes long, shared fairly: so many at once, and so many for each caller.

A request that finds no slot waits a little, then is sent away. While others wait, the senders that
are slowest lose their slots first, so that neither slow networks nor silence by intent keep
anybody out.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jan_media.errors import Refused, TooBusy

FAIR_RATE = 32 * 1024  # bytes a second: who sends less may lose the slot to somebody who waits
FAIR_SECONDS = 3.0  # of waiting for the sender, before it is called slow
WINDOW = 10.0  # seconds of waiting for the sender, after which older ones count less and less
LOOK_AGAIN = 0.5  # seconds between two looks for slow senders


class Slot:
    """A slot that somebody wants or holds, and how fast its sender is. Time that we take does not
    count."""

    def __init__(self, caller: str, share: int, *, whole: bool) -> None:
        self.caller = caller
        self.share = share  # how many the caller may hold
        self.whole = whole  # the body is here already
        self.given = asyncio.get_running_loop().create_future()
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


class Slots:
    """``at_once`` slots, of which one caller holds at most half, and a guest a quarter."""

    def __init__(self, at_once: int, *, patience: float = 10.0, waiting: int = 512) -> None:
        """``patience`` is how many seconds a request waits; of ``waiting`` requests that wait, one
        caller may have a quarter."""
        self._at_once = at_once
        self._patience = patience
        self._may_wait = waiting
        self._holders: set[Slot] = set()
        self._queue: list[Slot] = []

    @asynccontextmanager
    async def taken(
        self, caller: str, *, guest: bool = False, whole: bool = False
    ) -> AsyncIterator[Slot]:
        """Hold a slot. Requests whose body is here as a ``whole`` come before others.

        Raises `TooBusy` if no slot becomes free in time, and `Refused` (``too_many_requests``) if
        that is because the caller holds a whole share.
        """
        slot = Slot(caller, max(1, self._at_once // (4 if guest else 2)), whole=whole)
        ahead = sum(each.whole for each in self._queue) if whole else len(self._queue)
        self._queue.insert(ahead, slot)
        self._hand_out()
        try:
            if not slot.given.done():
                await self._wait(slot)
            yield slot
        finally:
            if slot.given.done():
                self._holders.remove(slot)
                self._hand_out()
            else:
                self._queue.remove(slot)

    async def _wait(self, slot: Slot) -> None:
        of_caller = sum(each.caller == slot.caller for each in self._queue)
        if of_caller > max(1, self._may_wait // 4):
            raise self._share_is_full(slot)
        if len(self._queue) > self._may_wait:
            raise TooBusy(self._at_once)
        loop = asyncio.get_running_loop()
        end = loop.time() + self._patience
        while not slot.given.done():
            left = end - loop.time()
            if left <= 0:
                if self._held()[slot.caller] >= slot.share:
                    raise self._share_is_full(slot)
                raise TooBusy(self._at_once)
            self._evict_slow()
            await asyncio.wait([slot.given], timeout=min(left, LOOK_AGAIN))

    def _held(self) -> Counter[str]:
        """How many slots each caller holds."""
        return Counter(slot.caller for slot in self._holders)

    def _hand_out(self) -> None:
        held = self._held()
        for slot in list(self._queue):
            if len(self._holders) >= self._at_once:
                return
            if held[slot.caller] < slot.share:
                held[slot.caller] += 1
                self._queue.remove(slot)
                self._holders.add(slot)
                slot.given.set_result(None)

    def _evict_slow(self) -> None:
        """Let the slowest senders lose as many slots as others wait for."""
        held = self._held()
        waiting = sum(held[each.caller] < each.share for each in self._queue)
        leaving = sum(slot.lost for slot in self._holders)
        slow = [slot for slot in self._holders if slot.slowness()]
        slow.sort(key=Slot.slowness, reverse=True)
        for slot in slow[: max(0, waiting - leaving)]:
            slot.lose()

    @staticmethod
    def _share_is_full(slot: Slot) -> Refused:
        return Refused(
            "too_many_requests",
            f"You have {slot.share} requests of this kind running, as many as one caller may: "
            "let one end first",
        )
