"""The server's log: plain lines on stderr, which Kong copies to its error log at level info.

Has the methods that kong-pdk's PluginServer calls on its logger.
"""

import contextlib
import sys
import traceback
from pathlib import Path
from types import TracebackType

ERROR, WARNING, INFO, DEBUG = range(4)


class Log:
    """Writes lines of at most ``level``."""

    def __init__(self, level: int = WARNING) -> None:
        self.level = level

    def _line(self, level: int, name: str, text: str) -> None:
        if level <= self.level:
            line = f"[{name}] {text}".replace("\n", "\\n")
            with contextlib.suppress(OSError, ValueError):  # nobody reads it: no request suffers
                sys.stderr.write(line.encode("utf-8", "backslashreplace").decode() + "\n")
                sys.stderr.flush()

    def error(self, text: str) -> None:
        self._line(ERROR, "error", text)

    def warn(self, text: str) -> None:
        self._line(WARNING, "warn", text)

    def info(self, text: str) -> None:
        self._line(INFO, "info", text)

    def debug(self, text: str) -> None:
        self._line(DEBUG, "debug", text)


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
