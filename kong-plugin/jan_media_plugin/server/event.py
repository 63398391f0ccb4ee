"""An event: one run of a handler for one request, in a greenlet.

The server switches to it; it switches back with what it wants next: a PDK call for Kong (a map with
Method and Args), an asyncio task to wait for, or, as its last word, ``"ret"`` or a terminal call.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from greenlet import GreenletExit, getcurrent, greenlet
from kong_pdk.server import MSG_RET, terminal_methods

from jan_media_plugin.server import refusal

Call = dict[str, Any]
# Kong does not come back from these. The last is jan-media-gate's, which says how that comes about.
_TERMINAL = frozenset((*terminal_methods, "kong.ctx.shared.jan_media_admit"))
T = TypeVar("T")


class Event:
    """``handler`` takes no argument; ``on_failure`` is told the exception that it let out."""

    __slots__ = (
        "call",
        "deliver",
        "done",
        "final",
        "handler",
        "id",
        "on_failure",
        "runner",
        "silent_since",
        "task",
        "timer",
        "waited",
        "waiting_since",
    )

    def __init__(
        self,
        event_id: int,
        handler: Callable[[], object],
        on_failure: Callable[[BaseException], object],
        runner: "Runner",
    ) -> None:
        self.id = event_id
        self.handler = handler
        self.on_failure = on_failure
        self.runner = runner
        self.done = False
        """Whether the handler is over, and ``runner`` free for another event."""
        self.call: Call | None = None
        """The PDK call that Kong is at, or was at last."""
        self.final: Call | None = None
        """The terminal call that this event ends with; once set, the handler can only unwind."""
        self.silent_since = 0.0
        self.task: asyncio.Task[Any] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.waited = 0.0
        self.waiting_since = 0.0
        self.deliver: Callable[[dict[str, Any]], object] | None = None
        """Takes the answer of an event that had to wait; set by whoever owes Kong that answer."""

    def run(self) -> Call | str:
        """Run the handler; whatever it does, return what Kong is to be told."""
        try:
            self.handler()
        except BaseException as failure:  # nothing may pass: Kong would proxy the request
            if self.final is None:
                self.final = refusal.FAILED
                self.on_failure(failure)
        self.done = True
        return MSG_RET if self.final is None else self.final

    def pdk(self, method: str, args: tuple[Any, ...]) -> Any:
        """Have Kong run ``method`` and return its result; a terminal method does not return."""
        if self.final is not None:
            raise GreenletExit
        self.call = {"Method": method, "Args": args}
        if method in _TERMINAL:
            self.final = self.call
            raise GreenletExit
        return self.runner.parent.switch(self.call)

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run ``coroutine`` on the loop; return its result, or raise what it raised."""
        if self.final is not None:
            coroutine.close()
            raise GreenletExit
        task = asyncio.get_running_loop().create_task(coroutine)
        self.runner.parent.switch(task)
        return task.result()

    def end(self, final: Call) -> Call:
        """End the event with ``final`` (or the terminal call it already made) wherever it is."""
        if self.final is None:
            self.final = final
        if not self.done:
            self.runner.throw(GreenletExit)
        return self.final


class Runner(greenlet):  # type: ignore[misc]  # greenlet's stubs are not read
    """Runs events one after the other, since a new greenlet costs as much as three PDK calls.

    ``switch(event)`` starts one; the switch that returns with the event ``done`` frees it. One that
    is needed no more has to be told so by ``switch(None)``: no garbage collector finds a greenlet
    that waits.
    """

    event: Event | None = None

    def run(self, event: Event | None) -> None:
        """Run ``event``, and whatever it is switched to with after that."""
        while event is not None:
            self.event = event
            said = event.run()
            self.event = event = None
            event = self.parent.switch(said)


def current_event() -> Event:
    """Return the event that is running; RuntimeError outside one (in a coroutine, say)."""
    event = getattr(getcurrent(), "event", None)
    if event is None:
        raise RuntimeError("only a handler may do this, while it handles an event")
    return event  # type: ignore[no-any-return]
