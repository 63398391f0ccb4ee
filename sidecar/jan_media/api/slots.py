"""Slots for long work, shared fairly: a limit for all callers together, and one for each caller.

A request that finds no slot waits a little and is then refused. While others wait, the slowest
senders lose their slots first, so that neither slow networks nor deliberately silent clients block
others.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from jan_media.api.bodies import Arriving
from jan_media.errors import Refused, TooBusy

LOOK_AGAIN = 0.5  # seconds between two checks for slow senders


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A slot that a caller wants or holds."""

    caller: str
    share: int  # how many the caller may hold
    sender: Arriving | None  # loses the slot if it is slow
    given: "asyncio.Future[None]"


class Slots:
    """``at_once`` slots, of which one caller holds at most half, and a guest a quarter."""

    def __init__(self, at_once: int, *, patience: float = 10.0, waiting: int = 512) -> None:
        """A request waits up to ``patience`` seconds. At most ``waiting`` requests wait, and of one
        caller a quarter of that number."""
        self._at_once = at_once
        self._patience = patience
        self._may_wait = waiting
        self._holders: set[Slot] = set()
        self._queue: list[Slot] = []

    @asynccontextmanager
    async def taken(
        self, caller: str, *, guest: bool = False, sender: Arriving | None = None
    ) -> AsyncIterator[None]:
        """Hold a slot until the ``sender`` loses it. Senders whose body is complete go first.

        Raises `TooBusy` if no slot becomes free in time, and `Refused` (``too_many_requests``) if
        that is because the caller holds its whole share.
        """
        share = max(1, self._at_once // (4 if guest else 2))
        slot = Slot(caller, share, sender, asyncio.get_running_loop().create_future())
        whole = [each for each in self._queue if each.sender and each.sender.whole]
        ahead = whole if sender and sender.whole else self._queue
        self._queue.insert(len(ahead), slot)
        self._hand_out()
        try:
            if not slot.given.done():
                await self._wait(slot)
            yield
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
        """Take as many slots from the slowest senders as others wait for."""
        held = self._held()
        waiting = sum(held[each.caller] < each.share for each in self._queue)
        senders = [slot.sender for slot in self._holders if slot.sender]
        leaving = sum(sender.lost for sender in senders)
        slow = sorted(filter(Arriving.slowness, senders), key=Arriving.slowness, reverse=True)
        for sender in slow[: max(0, waiting - leaving)]:
            sender.lose()

    @staticmethod
    def _share_is_full(slot: Slot) -> Refused:
        return Refused(
            "too_many_requests",
            f"You have {slot.share} requests of this kind running, as many as one caller may: "
            "let one end first",
        )
