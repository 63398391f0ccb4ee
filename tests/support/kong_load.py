"""Load as from Kong, as fast as Python can: raw sockets, prepared messages.

A load repeats one event whose PDK calls are known. Every lane is a request in flight; when answers
arrive, the next messages go out on whichever of those connections, as from Kong's pool.
"""

import contextlib
import itertools
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.kong_driver import pack_like_lua

_EVENT_ID = b"\xa7EventId"
_LET_THROUGH = b"\xa4Data\xa3ret"


@dataclass(frozen=True)
class Script:
    """An event as Kong sees it: the PDK calls it expects, and what each returns."""

    calls: tuple[str, ...]
    steps: tuple[bytes, ...]
    """Messages that carry the results, up to the event id, which ends them."""
    last: str = ""
    """The call that Kong does not come back from, if the server's last word is one."""

    @classmethod
    def of(cls, *calls: tuple[str, str, Any], last: str = "") -> "Script":
        """``calls``: method, the kind of step that answers it (``plugin.Step``), its result."""
        return cls(
            tuple(method for method, _, _ in calls),
            tuple(_step(kind, result) for _, kind, result in calls),
            last,
        )

    @property
    def answers(self) -> list[bytes]:
        """What each answer of the server holds, in order."""
        return [*(method.encode() for method in self.calls), self.last.encode() or _LET_THROUGH]


def _step(kind: str, result: Any) -> bytes:
    data = b"" if result is None else b"\xa4Data" + pack_like_lua(result)
    fields = b"\x81" if result is None else b"\x82"
    return b"\x94\x00\x01" + pack_like_lua(kind) + b"\x91" + fields + data + _EVENT_ID


@dataclass
class _Lane:
    """One request in flight: at ``step`` of ``script``, for event ``event_id`` (packed)."""

    script: Script
    expected: list[bytes]
    step: int = 0
    event_id: bytes = b""


def run_load(
    path: Path, instance: int, *scripts: Script, connections: int, seconds: float
) -> float:
    """Keep ``connections`` events in flight for ``seconds`` and until one is done.

    Return the events done a second. Each lane repeats one of ``scripts``, in turn. RuntimeError if
    the server answers with anything else than that expects.
    """
    begin = b"\x94\x00\x01" + pack_like_lua("plugin.HandleEvent")
    begin += pack_like_lua([{"InstanceId": instance, "EventName": "access"}])
    done = 0
    with _connected(path, connections) as (poll, sockets):
        turns = itertools.cycle(scripts)
        lanes = {number: _Lane(script := next(turns), script.answers) for number in sockets}
        for one in sockets.values():
            one.send(begin)
        start = time.perf_counter()
        until = start + seconds
        now = start
        while now < until or not done:
            ready = [number for number, _ in poll.poll()]
            answered = []
            for number in ready:
                lane = lanes[number]
                answer = sockets[number].recv(65536)
                if lane.expected[lane.step] not in answer:
                    raise RuntimeError(f"{lane.expected[lane.step]!r} expected, got {answer!r}")
                if lane.step == 0:
                    lane.event_id = answer[answer.rindex(_EVENT_ID) + len(_EVENT_ID) :]
                answered.append(lane)
            answered.append(answered.pop(0))  # the next call goes by another connection
            for number, lane in zip(ready, answered, strict=True):
                lanes[number] = lane
                if lane.step == len(lane.script.steps):
                    done += 1
                    lane.step = 0
                    sockets[number].send(begin)
                else:
                    sockets[number].send(lane.script.steps[lane.step] + lane.event_id)
                    lane.step += 1
            now = time.perf_counter()
        return done / (now - start)


@contextlib.contextmanager
def _connected(
    path: Path, connections: int
) -> Iterator[tuple[select.epoll, dict[int, socket.socket]]]:
    with contextlib.ExitStack() as stack:
        poll = stack.enter_context(select.epoll())
        sockets = {}
        for _ in range(connections):
            one = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            one.connect(str(path))
            poll.register(one, select.EPOLLIN)
            sockets[one.fileno()] = one
        yield poll, sockets
