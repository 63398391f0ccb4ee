"""The project's plugin server, with a fault in its handler whenever a file says so.

    python faulty_handler.py FILE --kong-prefix …

FILE holds nothing, or what is wrong with it and where, as `{"what": …, "where": …}`. It is read
when the server starts and at each request. The product knows nothing of this: the plugin's class is
wrapped from outside, and everything else is as it is.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from greenlet import GreenletExit
from jan_media_plugin import exchange, handler
from jan_media_plugin.__main__ import JAN_MEDIA
from jan_media_plugin.server.dedicated import run
from jan_media_plugin.server.event import wait_for

FAULT_FILE = Path(sys.argv[1])
AT_START, AT_INSTANCE, FIRST = "start", "instance", "first"
BLOCKED_SECONDS = 6.0


class _ReturnedEarly(BaseException):
    """Takes the handler out of the middle of its work, as a `return` there would."""


def _recurse(depth: int = 0) -> int:
    return _recurse(depth + 1) + 1


def _spin() -> None:
    while True:
        pass


def _block_for_good() -> None:
    """Holds the only thread, and lets no signal interrupt it, for longer than Kong waits."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    time.sleep(BLOCKED_SECONDS)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})


def _raising(kind: type[BaseException]) -> Callable[[], None]:
    def fail() -> None:
        raise kind("the fault of a test")

    return fail


FAULTS: dict[str, Callable[[], object]] = {
    "return": _raising(_ReturnedEarly),
    "recurse": _recurse,
    "sleep": lambda: time.sleep(3600),
    "spin": _spin,
    "wait": lambda: wait_for(asyncio.sleep(3600)),
    "block for good": _block_for_good,
    "die": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "start slowly": lambda: time.sleep(2),
    **{
        kind.__name__: _raising(kind)
        for kind in (
            *(ValueError, MemoryError, StopIteration, OSError, asyncio.CancelledError),
            *(BaseException, SystemExit, KeyboardInterrupt, GeneratorExit, GreenletExit),
        )
    },
}


def fail_at(where: str) -> None:
    """Does what is wrong, if it is wrong here."""
    text = FAULT_FILE.read_text("utf-8")
    if text:
        fault = json.loads(text)
        if fault["where"] == where:
            FAULTS[fault["what"]]()


class Failing:
    """Kong's PDK; before and after each call something may be wrong."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def __getattr__(self, name: str) -> "Failing":
        return Failing(getattr(self._function, name))

    def __call__(self, *args: Any) -> Any:
        fail_at(f"before {self._function!r}")
        result = self._function(*args)
        fail_at(f"after {self._function!r}")
        return result


class FaultyPlugin(handler.Plugin):
    """The plugin, with the fault."""

    def __init__(self, config: dict[str, Any]) -> None:
        fail_at(AT_INSTANCE)
        super().__init__(config)

    def access(self, kong: Any) -> None:
        try:
            fail_at(FIRST)
            super().access(Failing(kong))
        except _ReturnedEarly:
            pass


def _failing_after(method: Callable[..., None]) -> Callable[..., None]:
    @wraps(method)
    def wrapped(*args: Any) -> None:
        method(*args)
        fail_at(f"after {method.__name__}")

    return wrapped


if __name__ == "__main__":
    fail_at(AT_START)
    exchange.Exchange.edit = _failing_after(exchange.Exchange.edit)  # type: ignore[method-assign]
    handler.Plugin = FaultyPlugin  # type: ignore[misc]
    run(JAN_MEDIA, sys.argv[2:])
