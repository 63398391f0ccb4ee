"""The plugin server's log: lines on stderr, which Kong copies to its error log at level info.

A line that is about a request ends with Kong's id of it and who calls, if that is known.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from jan_media.log import about

_LEVELS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warn"}


def set_up(format: str, level: str) -> None:
    """Write lines of at least ``level`` to stderr: as ``text``, or as ``json``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if format == "json" else Text())
    logging.basicConfig(handlers=[handler], level=level)
    logging.raiseExceptions = False  # nobody reads the log: no request suffers
    for chatty in ("asyncio", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class Text(logging.Formatter):
    """One line for each record. What was raised is never told: it may quote a token or a body."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = f"[{_level(record)}] {record.getMessage()}"
        request = about.get()
        if request is not None:
            line += f" request={request.request_id}"
            line += f" caller={request.caller!r}" if request.caller else ""
        return line.replace("\n", "\\n")


class Json(logging.Formatter):
    """The same as a JSON object, with the time."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": _level(record),
            "message": record.getMessage(),
        }
        request = about.get()
        if request is not None:
            said |= {"request_id": request.request_id, "caller": request.caller}
        return json.dumps(said)


def _level(record: logging.LogRecord) -> str:
    return _LEVELS.get(record.levelno, "error")


def where(failure: BaseException) -> str:
    """Say what was raised and where, without its message: that may quote a token or a body.

    Modules are named and files are not: where this is installed is nobody's business either.
    """
    return f"{type(failure).__name__} at {_frames(failure.__traceback__)}"


def _frames(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)[-6:]
    return " < ".join(
        f"{'.'.join(Path(frame.filename).with_suffix('').parts[-2:])}:{frame.lineno} {frame.name}"
        for frame in reversed(frames)
    )
