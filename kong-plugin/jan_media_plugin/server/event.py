"""An event: one run of the handler for one request, as a task that takes turns with Kong.

Kong asks for the event's next message and waits for it. That is a PDK call for Kong to make (a map
with Method and Args) or the last message: ``"ret"``, or a call from which Kong does not return.
"""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from kong_pdk.exception import PDKException
from kong_pdk.pdk import FakeClasses as Pdk
from kong_pdk.server import MSG_RET, terminal_methods

from jan_media_plugin.answers import Refused, Unavailable, misconfigured
from jan_media_plugin.server.log import where

log = logging.getLogger(__name__)

Call = dict[str, Any]
# Kong does not return from these. The last is jan-media-gate's, which explains why.
_TERMINAL = frozenset((*terminal_methods, "kong.ctx.shared.jan_media_admit"))


def _ending(refused: Refused) -> Call:
    return {"Method": "kong.response.exit", "Args": list(refused.arguments())}


# How an event ends if its handler fails.
FAILED = _ending(
    Refused(500, "internal_error", "The gateway failed to check this request. Try again.")
)
MISCONFIGURED = _ending(
    misconfigured("The media plugin cannot run as it is configured here. Its log says why.")
)
TOO_SLOW = _ending(Unavailable("The gateway took too long over this request. Try again."))
TOO_BUSY = _ending(Unavailable("The gateway has too much to do. Try again shortly."))
INTERRUPTED = _ending(Unavailable("The gateway was restarted during this request. Try again."))


class Asker(Protocol):
    """The connection on which Kong waits."""

    def answer(self, answer: dict[str, Any]) -> None:
        """Send ``answer``; TypeError, ValueError or OverflowError if it cannot be packed."""


class Ended(BaseException):
    """Stops the handler of an event whose last message is known."""


class Event:
    """``handler`` gets Kong's PDK, whose functions must be awaited.

    While it is in flight the event is one of ``events``, by its id.
    """

    def __init__(
        self,
        event_id: int,
        asker: Asker,
        handler: Callable[[Any], Awaitable[object]],
        events: "dict[float, Event]",
    ) -> None:
        self.id = event_id
        self._events = events
        events[event_id] = self
        self.asker: Asker | None = asker
        """Who waits for the next message; None while it is Kong's turn, and at the end."""
        self.final: Call | None = None
        """The last message, once the handler has finished."""
        self.waited = 0.0
        """Seconds that Kong has waited for messages before this turn."""
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._turn_began = self._loop.time()
        self._method = ""
        self._result: asyncio.Future[Any] | None = None
        self._context = contextvars.copy_context()
        self.task = self._loop.create_task(self._run(), context=self._context)

    @property
    def turn(self) -> float:
        """Return how long the current turn has lasted, in seconds."""
        return self._loop.time() - self._turn_began

    @property
    def is_kongs_turn(self) -> bool:
        """Whether Kong is running a PDK call."""
        return self.asker is None and self.final is None

    async def _run(self) -> None:
        """Run the handler. Whatever happens, Kong gets an answer: else it proxies the request."""
        try:
            await self._handler(Pdk("kong", self._call))
        except BaseException as failure:
            self._fail(failure)
        try:
            self._say(self.final or MSG_RET)
        except Exception as failure:
            self.final = None
            self._fail(failure)
            self._say(FAILED)
        self._events.pop(self.id, None)

    def _fail(self, failure: BaseException) -> None:
        if self.final is None:
            self.final = FAILED
            log.error("the handler failed, the request is refused: %s", where(failure))

    async def _call(self, method: str, *args: Any) -> Any:
        """Let Kong run ``method``, and return its result; a terminal method does not return.

        Raises PDKException when Kong answers with an error, and what packing ``args`` raises.
        """
        if self.final is not None:
            raise Ended
        if self.asker is None:
            raise RuntimeError("Kong is at another call of this event")
        call = {"Method": method, "Args": args}
        if method in _TERMINAL:
            self.final = call
            raise Ended
        self._say(call)
        self._method, self._result = method, self._loop.create_future()
        now = self._loop.time()
        self.waited += now - self._turn_began
        self._turn_began = now
        return await self._result

    def _say(self, word: Call | str) -> None:
        if self.asker is not None:
            self.asker.answer({"Data": word, "EventId": self.id})
            self.asker = None

    def go_on(self, asker: Asker, result: Any, *, failed: bool) -> None:
        """Give the handler the result of its PDK call, or raise Kong's error in it."""
        assert self._result is not None
        self.asker = asker
        self._turn_began = self._loop.time()
        if failed:
            self._result.set_exception(PDKException(f"exception from {self._method}: {result}"))
        else:
            self._result.set_result(result)

    def end(self, final: Call, why: str = "") -> None:
        """End the event, in any state, with its last message if it has one, else with ``final``.

        The log says ``why`` if that is given.
        """
        if why:
            self._context.run(log.warning, f"event #{self.id} {why}")
        self.final = self.final or final
        self._say(self.final)
        self._events.pop(self.id, None)
        self.task.cancel()
