"""kong-pdk's PluginServer on one event loop: events are greenlets, and every event has an answer.

Methods keep kong-pdk's names and results. Some differ: ``handle_event`` and the steps return the
Event itself when its handler waits for I/O; the answer then goes to ``event.deliver``.
"""

import asyncio
import itertools
import json
import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from kong_pdk.exception import PDKException, PluginServerException
from kong_pdk.module import Instance, Module
from kong_pdk.server import PluginServer

from jan_media_plugin.metrics import NO_ROUTE, REQUESTS
from jan_media_plugin.server.dedicated import Limits
from jan_media_plugin.server.event import (
    FAILED,
    INTERRUPTED,
    MISCONFIGURED,
    TOO_BUSY,
    TOO_SLOW,
    Call,
    Event,
    Runner,
    kong,
)
from jan_media_plugin.server.log import Log, where

Answer = dict[str, Any]
T = TypeVar("T")
_MOST_IDLE_RUNNERS = 64
_SHORTEST_SECRET = 4


def first_id() -> int:
    """Return where this process counts from, so that no id of an earlier process comes again.

    Kong keeps instance and event ids over a restart of the server, and an old id that meant
    something else now would run another route's configuration. Microseconds since the epoch run
    ahead of any count of events, and stay below the 2**53 that Lua's numbers can hold.
    """
    return time.time_ns() // 1000 + secrets.randbelow(4096)


class LoopPluginServer(PluginServer):  # type: ignore[misc]  # kong-pdk has no types
    """Holds the plugins, their instances and the events in flight. Belongs to one event loop."""

    def __init__(self, limits: Limits, log: Log, name: str | None = None) -> None:
        super().__init__(name=name, lua_style=False)
        self.limits = limits
        self.logger = log
        self.instance_id = first_id()
        self.event_ids = itertools.count(first_id())
        self.events: dict[float, Event] = {}
        """Events that Kong has the next word in, the longest silent first."""
        self.waiting: set[Event] = set()
        """Events whose handler waits for I/O."""
        self.running: Event | None = None
        self.runs = 0
        """With ``running``: what the watch over handlers that never pause looks at."""
        self.idle_runners: list[Runner] = []
        self.full_at = 0.0
        self.now = time.monotonic()
        """Refreshed by ``sweep``: a clock to a second or so, for the price of reading a field."""

    def add_plugin(self, module: Module) -> None:
        """Serve ``module``, kong-pdk's description of a plugin class."""
        self.plugins[module.name] = module

    # -- instances ---------------------------------------------------------------------------

    def start_instance(self, cfg: dict[str, Any]) -> Answer:
        """Start an instance; one that cannot start is replaced by one that refuses everything.

        An error instead would have Kong try again on every request, and answer it with a bare 500.
        """
        name = cfg.get("Name") if cfg.__class__ is dict else None
        if name.__class__ is not str:
            raise PluginServerException("StartInstance takes the name of a plugin")
        try:
            return super().start_instance(cfg)  # type: ignore[no-any-return]
        except PluginServerException:
            raise
        except Exception as failure:
            why = reason(failure, cfg.get("Config"))
            self.logger.error(
                f"{name} refuses every request of one of its routes: its configuration"
                f" does not work: {why}"
            )
        number = self.instance_id
        self.instance_id = number + 1
        closed = self.plugins[name].set_last_close_instance_time
        self.instances[number] = Instance(name, None, Misconfigured, closed)
        return {"Name": name, "Id": number, "Config": None, "StartTime": time.time()}

    # -- events ------------------------------------------------------------------------------

    def handle_event(self, event: dict[str, Any]) -> Answer | Event:
        """Start an event and return its first word: a PDK call, its end, or, waiting, itself."""
        number = _number(event, "InstanceId")
        phase: str = event.get("EventName", "")
        instance = self.instances.get(number)
        if instance is None:
            # Kong looks for these words, and starts the instance anew.
            raise PluginServerException(f"no plugin instance #{number}")
        event_id = next(self.event_ids)
        if len(self.events) + len(self.waiting) >= self.limits.max_events and not self._room():
            self._tell_that_it_is_full()
            REQUESTS.labels(NO_ROUTE, "too_busy").inc()
            return {"Data": TOO_BUSY, "EventId": event_id}
        if phase not in self.plugins[instance.name].phases:
            self.logger.error(f"{instance.name} has no phase {phase!r}: the request is refused")
            return {"Data": FAILED, "EventId": event_id}
        handler = partial(getattr(instance.cls, phase), kong)
        runner = self.idle_runners.pop() if self.idle_runners else Runner()
        runner.gr_context = None  # context variables are not to outlive an event
        started = Event(event_id, handler, partial(self._failed, instance.name, phase), runner)
        return self._advance(started, runner.switch, started)

    def step(self, data: dict[str, Any]) -> Answer | Event:
        """Give an event what its PDK call returned, and return its next word.

        An event that is not here was another process's, or was dropped: its request is refused.
        """
        event = self.events.pop(_number(data, "EventId"), None)
        if event is None:
            return self._refuse_step(data)
        return self._advance(event, event.runner.switch, data.get("Data"))

    def step_error(self, data: dict[str, Any]) -> Answer | Event:
        """The same for a PDK call that returned ``nil`` and an error."""
        event = self.events.pop(_number(data, "EventId"), None)
        if event is None:
            return self._refuse_step(data)
        method = event.call and event.call["Method"]
        error = PDKException(f"exception from {method}: {data.get('Data')}")
        return self._advance(event, event.runner.throw, error)

    def _refuse_step(self, data: dict[str, Any]) -> Answer:
        self.logger.warn(f"event #{data['EventId']} is not here: its request is refused")
        REQUESTS.labels(NO_ROUTE, "interrupted").inc()
        return {"Data": INTERRUPTED, "EventId": data["EventId"]}

    def _advance(self, event: Event, switch: Callable[[Any], Any], value: object) -> Answer | Event:
        """Let ``event`` run on, with ``switch(value)``, to its next word."""
        self.runs += 1
        self.running = event
        said = switch(value)
        self.running = None
        if event.done:
            self._free(event.runner)
        elif said.__class__ is dict:
            event.silent_since = self.now
            self.events[event.id] = event
        else:
            self._wait(event, said)
            return event
        return {"Data": said, "EventId": event.id}

    def _free(self, runner: Runner) -> None:
        if len(self.idle_runners) < _MOST_IDLE_RUNNERS:
            self.idle_runners.append(runner)
        else:
            runner.switch(None)

    def _wait(self, event: Event, task: asyncio.Task[Any]) -> None:
        loop = asyncio.get_running_loop()
        event.task = task
        event.waiting_since = loop.time()
        left = max(0.0, self.limits.time_limit - event.waited)
        event.timer = loop.call_later(left, self._time_out, event)
        self.waiting.add(event)
        task.add_done_callback(partial(self._resume, event))

    def _stop_waiting(self, event: Event) -> None:
        self.waiting.discard(event)
        if event.timer is not None:
            event.timer.cancel()
            event.waited += asyncio.get_running_loop().time() - event.waiting_since
        event.task = event.timer = None

    def _resume(self, event: Event, task: asyncio.Task[Any]) -> None:
        if event not in self.waiting or event.task is not task:
            if not task.cancelled():
                task.exception()  # nobody else will look
            return
        self._stop_waiting(event)
        answer = self._advance(event, event.runner.switch, None)
        if isinstance(answer, dict):
            _deliver(event, answer)

    def _time_out(self, event: Event) -> None:
        text = f"event #{event.id} waited over {self.limits.time_limit:g} s: ended"
        event.tell(self.logger.error, text)
        self.end(event, TOO_SLOW)

    def end(self, event: Event, final: Call) -> Answer:
        """End ``event`` in its handler's place and return (and deliver) the answer for Kong."""
        self.events.pop(event.id, None)
        if event.task is not None:
            event.task.cancel()
            self._stop_waiting(event)
        self.runs += 1
        self.running = event
        was_done = event.done
        answer = {"Data": event.end(final), "EventId": event.id}
        self.running = None
        if event.done and not was_done:
            self._free(event.runner)
        _deliver(event, answer)
        return answer

    def _tell_that_it_is_full(self) -> None:
        if self.full_at != self.now:  # once between two sweeps: a line a request would be a flood
            self.full_at = self.now
            self.logger.error(f"{self.limits.max_events} events are in flight: refusing more")

    def _failed(self, name: str, phase: str, failure: BaseException) -> None:
        self.logger.error(f"{phase} of {name} failed, the request is refused: {where(failure)}")

    # -- time --------------------------------------------------------------------------------

    def _room(self) -> bool:
        """Drop the event that Kong has been silent about for longest, if that is long enough."""
        event = next(iter(self.events.values()), None)
        return event is not None and self._drop_if_silent(event, self.limits.evictable_after)

    def _drop_if_silent(self, event: Event, seconds: float) -> bool:
        if self.now - event.silent_since < seconds:
            return False
        event.tell(
            self.logger.warn, f"event #{event.id} dropped: no word from Kong for {seconds:g} s"
        )
        self.end(event, INTERRUPTED)
        return True

    def sweep(self) -> None:
        """Note the time, and drop the events that Kong has abandoned. Call it every second."""
        self.now = time.monotonic()
        for event in list(itertools.takewhile(self._is_abandoned, self.events.values())):
            self._drop_if_silent(event, self.limits.abandoned_after)

    def _is_abandoned(self, event: Event) -> bool:
        return self.now - event.silent_since >= self.limits.abandoned_after

    @property
    def idle(self) -> bool:
        """Whether no event is in flight."""
        return not self.events and not self.waiting

    def end_all(self) -> None:
        """End every event in flight; those that Kong awaits an answer of get 503."""
        for event in [*self.waiting, *self.events.values()]:
            self.end(event, INTERRUPTED)


def _number(fields: object, name: str) -> float:
    """Return the id that is called ``name``. Lua's numbers are doubles, and may come as such."""
    value = fields.get(name) if fields.__class__ is dict else None
    if value.__class__ is not int and value.__class__ is not float:
        raise PluginServerException(f"{name} must be a number")
    return value


def _deliver(event: Event, answer: Answer) -> None:
    deliver, event.deliver = event.deliver, None
    if deliver is not None:
        deliver(answer)


class Misconfigured:
    """Stands in for a plugin whose configuration it could not take: refuses in every phase."""

    def __init__(self, config: object) -> None:
        pass

    def __getattr__(self, phase: str) -> Callable[[Any], None]:
        return _refuse


def _refuse(kong: Any) -> None:
    REQUESTS.labels(NO_ROUTE, "gateway_misconfigured").inc()
    kong.response.exit(*MISCONFIGURED["Args"])


def reason(failure: Exception, config: object) -> str:
    """Return the failure's own words, less every value of ``config`` (JSON text) they quote.

    Configuration holds secrets, and a message that names a field may quote what is in it.
    """
    words = f"{type(failure).__name__}: {failure}"
    if not isinstance(config, str):
        return type(failure).__name__
    try:
        values = set(_strings(json.loads(config)))
    except ValueError:
        return "it is not JSON"
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _SHORTEST_SECRET:
            words = words.replace(value, "…")
    return words


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
