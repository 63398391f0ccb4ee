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

from jan_media_plugin import exchange, handler
from jan_media_plugin.__main__ import JAN_MEDIA
from jan_media_plugin.server.command import run
from jan_media_plugin.server.event import Ended

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


async def _wait() -> None:
    await asyncio.sleep(3600)


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
    "wait": _wait,
    "block for good": _block_for_good,
    "die": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "start slowly": lambda: time.sleep(2),
    **{
        kind.__name__: _raising(kind)
        for kind in (
            *(ValueError, MemoryError, StopIteration, OSError, asyncio.CancelledError),
            *(BaseException, SystemExit, KeyboardInterrupt, GeneratorExit, Ended),
        )
    },
}


async def fail_at(where: str) -> None:
    """Does what is wrong, if it is wrong here."""
    if waiting := _fail_at(where):
        await waiting


def _fail_at(where: str) -> Any:
    text = FAULT_FILE.read_text("utf-8")
    if text:
        fault = json.loads(text)
        if fault["where"] == where:
            return FAULTS[fault["what"]]()
    return None


class Failing:
    """Kong's PDK; before and after each call something may be wrong."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def __getattr__(self, name: str) -> "Failing":
        return Failing(getattr(self._function, name))

    async def __call__(self, *args: Any) -> Any:
        await fail_at(f"before {self._function.prefix}")
        result = await self._function(*args)
        await fail_at(f"after {self._function.prefix}")
        return result


class FaultyPlugin(handler.Plugin):
    """The plugin, with the fault."""

    def __init__(self, config: dict[str, Any]) -> None:
        _fail_at(AT_INSTANCE)
        super().__init__(config)

    async def access(self, kong: Any) -> None:
        try:
            await fail_at(FIRST)
            await super().access(Failing(kong))
        except _ReturnedEarly:
            pass


def _failing_after(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    async def wrapped(*args: Any) -> None:
        await method(*args)
        await fail_at(f"after {method.__name__}")

    return wrapped


if __name__ == "__main__":
    _fail_at(AT_START)
    exchange.Exchange.edit = _failing_after(exchange.Exchange.edit)  # type: ignore[method-assign]
    handler.Plugin = FaultyPlugin  # type: ignore[misc]
    run(JAN_MEDIA, sys.argv[2:])
