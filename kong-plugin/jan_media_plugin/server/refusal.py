"""The answers that are given in a handler's place: Kong's ``kong.response.exit`` calls.

Bodies are the gateway's error shape, as text: Kong would drop the null ``param`` of a map.
"""

import json
from typing import Any

from jan_media_plugin.answers import DECIDED

RETRY_AFTER_SECONDS = 1


def _exit(status: int, code: str, message: str) -> dict[str, Any]:
    error = {"type": "api_error", "code": code, "message": message, "param": None}
    headers = {"Content-Type": "application/json", DECIDED: "yes"}
    if status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    body = json.dumps({"error": error})
    return {"Method": "kong.response.exit", "Args": [status, body, headers]}


FAILED = _exit(
    500, "internal_error", "The gateway could not check this request. Try again, or tell its owner."
)
MISCONFIGURED = _exit(
    500,
    "gateway_misconfigured",
    "This route's media plugin cannot run as it is configured. The gateway's log says why.",
)
TOO_SLOW = _exit(
    503, "service_unavailable", "The gateway took too long over this request. Try again."
)
TOO_BUSY = _exit(503, "service_unavailable", "The gateway has too much to do. Try again shortly.")
INTERRUPTED = _exit(
    503, "service_unavailable", "The gateway was restarted during this request. Try again."
)
