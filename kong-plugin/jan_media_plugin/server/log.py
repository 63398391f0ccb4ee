"""The server's log: lines on stderr, which Kong copies to its error log at level info.

A line that is about a request ends with Kong's id of it and who calls, if that is known.
"""

import contextlib
import json
import logging
import sys
import traceback
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

ERROR, WARNING, INFO, DEBUG = range(4)
_LEVELS = ("error", "warn", "info", "debug")


@dataclass(slots=True)
class About:
    """What an event is about. It is found by whatever runs in the event, tasks too."""

    request_id: str
    """Kong's, which no client can choose."""
    subject: str = ""
    issuer: str = ""

    @property
    def caller(self) -> str:
        """Who calls, as the sidecar knows an owner; "" while that is not known."""
        return f"{self.issuer}|{self.subject}" if self.subject else ""


about: ContextVar[About | None] = ContextVar("about", default=None)


class Log(logging.Handler):
    """Writes lines of at most ``level``: its own, and as a handler those of Python's loggers.

    Has the methods that kong-pdk's PluginServer calls on its logger.
    """

    def __init__(self, level: int = WARNING, *, as_json: bool = False) -> None:
        super().__init__()
        self.most = level
        self.as_json = as_json

    def _line(self, level: int, text: str) -> None:
        if level <= self.most:
            line = self._as_json(level, text) if self.as_json else self._as_text(level, text)
            with contextlib.suppress(OSError, ValueError):  # nobody reads it: no request suffers
                sys.stderr.write(line + "\n")
                sys.stderr.flush()

    def _as_text(self, level: int, text: str) -> str:
        line = f"[{_LEVELS[level]}] {text}"
        request = about.get()
        if request is not None:
            line += f" request={request.request_id}"
            line += f" caller={request.caller!r}" if request.caller else ""
        return line.replace("\n", "\\n").encode("utf-8", "backslashreplace").decode()

    def _as_json(self, level: int, text: str) -> str:
        said = {"time": datetime.now(UTC).isoformat(), "level": _LEVELS[level], "message": text}
        request = about.get()
        if request is not None:
            said |= {"request_id": request.request_id, "caller": request.caller}
        return json.dumps(said)

    def error(self, text: str) -> None:
        self._line(ERROR, text)

    def warn(self, text: str) -> None:
        self._line(WARNING, text)

    def info(self, text: str) -> None:
        self._line(INFO, text)

    def debug(self, text: str) -> None:
        self._line(DEBUG, text)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line of one of Python's loggers."""
        level = (record.levelno < logging.ERROR) + (record.levelno < logging.WARNING)
        self._line(DEBUG if record.levelno < logging.INFO else level, record.getMessage())


def where(failure: BaseException) -> str:
    """Say what was raised and where, without its message: that may quote a token or a body.

    Modules are named and files are not: where this is installed is nobody's business either.
    """
    return f"{type(failure).__name__} at {_frames(failure.__traceback__)}"


def _frames(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)[-6:]
    return " < ".join(
        f"{_module(frame.filename)}:{frame.lineno} {frame.name}" for frame in reversed(frames)
    )


def _module(file: str) -> str:
    return ".".join(Path(file).with_suffix("").parts[-2:])
