"""kong-pdk's PluginServer on one event loop: events are tasks, and every event has an answer.

Methods keep kong-pdk's names. Those of events take the asker, and send their answer there.
"""

import asyncio
import itertools
import logging
import secrets
import time
from dataclasses import dataclass
from typing import Any

from kong_pdk.exception import PluginServerException
from kong_pdk.module import Instance
from kong_pdk.server import PluginServer

from jan_media_plugin.metrics import NO_ROUTE, REQUESTS
from jan_media_plugin.schema import ConfigError
from jan_media_plugin.server.event import (
    FAILED,
    INTERRUPTED,
    MISCONFIGURED,
    TOO_BUSY,
    TOO_SLOW,
    Asker,
    Call,
    Event,
)
from jan_media_plugin.server.log import where

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """How much one plugin server takes on, and how long it waits, in seconds."""

    time_limit: float = 10.0
    """For one event to wait for I/O, or to run without a pause. Kong's time does not count."""
    max_events: int = 4096
    abandoned_after: float = 300.0
    """For Kong to run one PDK call (a slow client's body): Kong does not report when it gives up
    an event."""
    evictable_after: float = 10.0
    """The same, once ``max_events`` is reached."""
    kong_read_timeout: float = 60.0
    """After this, Kong waits no longer for an answer: its lua_socket_read_timeout."""
    drain: float = 3.0
    """For running events to finish after SIGTERM."""
    max_message: int = 128 * 1024 * 1024
    """Bytes of one message from Kong; a larger one closes its connection."""

    @property
    def beat(self) -> float:
        """Return the seconds between two checks for events that are over a limit."""
        return min(0.25, self.time_limit / 4)


def first_id() -> int:
    """Return the first id of this process, so that no id of an earlier process is used again.

    Kong keeps instance and event ids across a restart of the server; an old id with a new meaning
    would run another route's configuration. Microseconds since the epoch grow faster than any count
    of events, and stay below the 2**53 that Lua's numbers can hold.
    """
    return time.time_ns() // 1000 + secrets.randbelow(4096)


class LoopPluginServer(PluginServer):  # type: ignore[misc]  # kong-pdk has no types
    """Holds the plugins, their instances and the running events. Belongs to one event loop."""

    def __init__(self, limits: Limits, name: str | None = None) -> None:
        super().__init__(name=name, lua_style=False)
        self.limits = limits
        self.logger = log
        self.instance_id = first_id()
        self.event_ids = itertools.count(first_id())
        self.events: dict[float, Event] = {}
        self._told_that_it_is_full = False

    def start_instance(self, cfg: dict[str, Any]) -> dict[str, Any]:
        """Start an instance; one that cannot start is replaced by one that refuses everything.

        After an error, Kong would try again on every request, and answer it with a bare 500.
        """
        name = cfg.get("Name") if isinstance(cfg, dict) else None
        if not isinstance(name, str):
            raise PluginServerException("StartInstance takes the name of a plugin")
        try:
            return super().start_instance(cfg)  # type: ignore[no-any-return]
        except PluginServerException:
            raise
        except Exception as failure:
            why = str(failure) if isinstance(failure, ConfigError) else where(failure)
            log.error(
                "%s refuses every request of one of its routes: its configuration does not work:"
                " %s",
                *(name, why),
            )
        number = self.instance_id
        self.instance_id = number + 1
        closed = self.plugins[name].set_last_close_instance_time
        self.instances[number] = Instance(name, None, lambda _: None, closed)
        return {"Name": name, "Id": number, "Config": None, "StartTime": time.time()}

    def handle_event(self, asker: Asker, event: dict[str, Any]) -> None:
        """Start an event, whose first message goes to ``asker``."""
        instance = self.instances.get(number := _number(event, "InstanceId"))
        if instance is None:
            # Kong recognizes this message, and starts the instance anew.
            raise PluginServerException(f"no plugin instance #{number}")
        phase, event_id = event.get("EventName", ""), next(self.event_ids)
        if len(self.events) >= self.limits.max_events:
            self._tell_that_it_is_full()
            _refuse(asker, event_id, TOO_BUSY, "too_busy")
        elif instance.cls is None:  # it could not start
            _refuse(asker, event_id, MISCONFIGURED, "gateway_misconfigured")
        elif phase not in self.plugins[instance.name].phases:
            log.error("%s has no phase %r: the request is refused", instance.name, phase)
            _refuse(asker, event_id, FAILED, "internal_error")
        else:
            Event(event_id, asker, getattr(instance.cls, phase), self.events)

    def step(self, asker: Asker, data: dict[str, Any], *, failed: bool = False) -> None:
        """Give an event the result of its PDK call; its next message goes to ``asker``.

        With ``failed``, the call returned ``nil`` and an error.
        """
        event = self.events.get(number := _number(data, "EventId"))
        if event is not None and event.is_kongs_turn:
            event.go_on(asker, data.get("Data"), failed=failed)
            return
        # It belonged to another process, or was dropped.
        log.warning("event #%s is not here: its request is refused", number)
        _refuse(asker, number, INTERRUPTED, "interrupted")

    def step_error(self, asker: Asker, data: dict[str, Any]) -> None:
        """Take a step with a PDK call that failed."""
        self.step(asker, data, failed=True)

    def forget(self, asker: Asker) -> None:
        """End the event that a closed connection was waiting for."""
        for event in list(self.events.values()):
            if event.asker is asker:
                event.asker = None
                event.end(INTERRUPTED)

    def sweep(self) -> None:
        """End events that are over their limits. Call it at every `Limits.beat`."""
        is_full = len(self.events) >= self.limits.max_events
        patience = self.limits.evictable_after if is_full else self.limits.abandoned_after
        self._told_that_it_is_full = False
        for event in list(self.events.values()):
            if event.is_kongs_turn and event.turn >= patience:
                event.end(INTERRUPTED, f"dropped: no word from Kong for {patience:g} s")
            elif event.asker is not None and event.waited + event.turn >= self.limits.time_limit:
                event.end(TOO_SLOW, f"waited over {self.limits.time_limit:g} s: ended")

    def _tell_that_it_is_full(self) -> None:
        if not self._told_that_it_is_full:  # one line per request would flood the log
            self._told_that_it_is_full = True
            log.error("%d events are in flight: refusing more", self.limits.max_events)

    async def drain(self) -> None:
        """Give running events time to finish, then end them. Those that Kong waits for get 503."""
        tasks = [event.task for event in self.events.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=self.limits.drain)
        self.end_all()

    def end_all(self) -> None:
        """End every running event."""
        for event in list(self.events.values()):
            event.end(INTERRUPTED)


def _number(fields: object, name: str) -> float:
    """Return the id in the field ``name``. Lua's numbers are doubles, and may arrive as such."""
    value = fields.get(name) if isinstance(fields, dict) else None
    if value.__class__ is not int and value.__class__ is not float:
        raise PluginServerException(f"{name} must be a number")
    return value


def _refuse(asker: Asker, event_id: float, final: Call, outcome: str) -> None:
    REQUESTS.labels(NO_ROUTE, outcome).inc()
    asker.answer({"Data": final, "EventId": event_id})
