"""The log: lines, or JSON objects on lines, that name the request and the caller they are about.

The request id is Kong's, so that one id finds a request in the log of every part.
"""

import json
import logging
import re
import secrets
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


@dataclass(slots=True)
class About:
    """The request that a task or a thread is working on."""

    request_id: str
    caller: str = ""
    """The owner that the gateway names; "" before that is known."""


about: ContextVar[About | None] = ContextVar("about", default=None)


def begin(request_id: str) -> About:
    """Log this request id from now on. An invalid or empty id is replaced by a new one.

    The gateway sets the id itself. A client that bypasses the gateway can choose an id, but only
    of the characters that ids may have.
    """
    known = About(request_id if _ID.fullmatch(request_id) else secrets.token_hex(16))
    about.set(known)
    return known


def set_up(format: str) -> None:
    """Write the log to stderr, in one of `FORMATS`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FORMATS[format])
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    for chatty in ("httpx", "httpcore", "botocore", "boto3", "urllib3", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # These log details of a client's bytes, which the client's response has anyway.
    for parser in ("python_multipart", "PIL"):
        logging.getLogger(parser).setLevel(logging.CRITICAL)


class _Text(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        known = about.get()
        if known is not None:
            line += f" request={known.request_id}"
            line += f" caller={known.caller!r}" if known.caller else ""
        return line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        said |= getattr(record, "fields", {})
        known = about.get()
        if known is not None:
            said |= {"request_id": known.request_id, "caller": known.caller}
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said)


FORMATS: dict[str, logging.Formatter] = {
    "text": _Text("%(asctime)s %(levelname)s %(name)s %(message)s"),
    "json": _Json(),
}
