"""An event: one run of a handler for one request, in a greenlet; and what a handler may call.

The server switches to it; it switches back with what it wants next: a PDK call for Kong (a map with
Method and Args), an asyncio task to wait for, or, as its last word, ``"ret"`` or a terminal call.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from greenlet import GreenletExit, getcurrent, greenlet
from kong_pdk.server import MSG_RET, terminal_methods

from jan_media_plugin.answers import Refused, misconfigured, unavailable

Call = dict[str, Any]
# Kong does not come back from these. The last is jan-media-gate's, which says how that comes about.
_TERMINAL = frozenset((*terminal_methods, "kong.ctx.shared.jan_media_admit"))
T = TypeVar("T")


def _ending(refused: Refused) -> Call:
    return {"Method": "kong.response.exit", "Args": list(refused.arguments())}


# What an event ends with in its handler's place.
FAILED = _ending(
    Refused(
        500,
        "api_error",
        "internal_error",
        "The gateway could not check this request. Try again, or tell its owner.",
    )
)
MISCONFIGURED = _ending(
    misconfigured(
        "This route's media plugin cannot run as it is configured. The gateway's log says why."
    )
)
TOO_SLOW = _ending(unavailable("The gateway took too long over this request. Try again."))
TOO_BUSY = _ending(unavailable("The gateway has too much to do. Try again shortly."))
INTERRUPTED = _ending(unavailable("The gateway was restarted during this request. Try again."))


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
                self.final = FAILED
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

    def tell(self, say: Callable[[str], None], text: str) -> None:
        """Have a line about this event logged as what it is about, from outside of its handler."""
        context = self.runner.gr_context
        if context is None:
            say(text)
        else:
            context.run(say, text)

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


def wait_for(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` on the server's event loop, and return its result.

    Other events go on meanwhile. Raises what the coroutine raises. What an event waits in all is
    limited: beyond, the coroutine is cancelled, the handler unwinds with GreenletExit (so
    ``finally`` blocks run) and the client gets 503. RuntimeError outside an event.
    """
    try:
        event = current_event()
    except RuntimeError:
        coroutine.close()
        raise
    return event.wait_for(coroutine)


class Pdk:
    """A PDK function or the name space that holds more of them, such as ``kong.log``.

    Names and results are those of kong-pdk. One object serves every event: a call belongs to the
    greenlet that makes it, and every name is looked up once.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> "Pdk":
        if name.startswith("_"):
            raise AttributeError(name)
        child = (LogFunction if self._name == "kong.log" or name == "log" else Pdk)(
            f"{self._name}.{name}"
        )
        self.__dict__[name] = child
        return child

    def __call__(self, *args: Any) -> Any:
        """Call the function in Kong. ``kong.response.exit`` and ``.error`` never return.

        Raises PDKException when Kong answers with an error.
        """
        return current_event().pdk(self._name, args)

    def __repr__(self) -> str:
        return self._name


class LogFunction(Pdk):
    """Log functions take anything: what has no counterpart in Lua goes as text."""

    def __call__(self, *args: Any) -> Any:
        plain = tuple(a if type(a) in (str, int, list, dict) else str(a) for a in args)
        return super().__call__(*plain)


kong = Pdk("kong")
