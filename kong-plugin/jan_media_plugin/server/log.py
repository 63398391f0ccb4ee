"""The plugin server's log: lines on stderr, which Kong copies to its error log at level info.

A line about a request ends with Kong's request id and, if known, the caller.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

from jan_media.log import about

_LEVELS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warn"}


def set_up(format: str, level: str) -> None:
    """Write lines of at least ``level`` to stderr: as ``text``, or as ``json``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(as_json=format == "json"))
    logging.basicConfig(handlers=[handler], level=level)
    logging.raiseExceptions = False  # if nobody reads the log, requests must not fail
    for chatty in ("asyncio", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class Lines(logging.Formatter):
    """One line for each record, without exception texts: they may quote a token or a body."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; as JSON it has the time, too."""
        level, text = _LEVELS.get(record.levelno, "error"), record.getMessage()
        request = about.get()
        if self._as_json:
            time = datetime.fromtimestamp(record.created, UTC).isoformat()
            said = {"time": time, "level": level, "message": text}
            if request is not None:
                said |= {"request_id": request.request_id, "caller": request.caller}
            return json.dumps(said)
        line = f"[{level}] {text}"
        if request is not None:
            line += f" request={request.request_id}"
            line += f" caller={request.caller!r}" if request.caller else ""
        return line.replace("\n", "\\n")


def where(failure: BaseException) -> str:
    """Name what was raised, and where, without its message: that may quote a token or a body.

    Names modules, not files, since file paths would reveal where this is installed.
    """
    frames = (
        f"{'.'.join(Path(frame.filename).with_suffix('').parts[-2:])}:{frame.lineno} {frame.name}"
        for frame in reversed(traceback.extract_tb(failure.__traceback__)[-6:])
    )
    return f"{type(failure).__name__} at {' < '.join(frames)}"
