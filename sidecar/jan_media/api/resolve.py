"""``POST /v1/media/resolve``: URLs for many ids, or for all the ids inside any JSON."""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jan_media.api.bodies import MAX_DEPTH, read_json, too_deep
from jan_media.api.callers import owner_of
from jan_media.api.media import iso_time
from jan_media.api.ready_media import all_ready
from jan_media.api.routes import sidecar_of
from jan_media.errors import Refused
from jan_media.library.resolve import Found, Resolved, not_found
from jan_media.media_id import PATTERN, parse_media_id
from jan_media.sidecar import Sidecar

MAX_IDS = 1000
MAX_JSON = 32 * 1024 * 1024
LONGEST_PARAM = 500

# Values in a body. Each costs some hundred bytes, and blocks the event loop for a microsecond, so
# megabytes of `{},{},{}` would stop the service.
MAX_VALUES = 100_000

# The whole string is an id, or the older placeholder with the type in front of it.
_PLACEHOLDER = re.compile(rf"(?:data:[^;,\s]*;)?({PATTERN.pattern})", re.IGNORECASE | re.ASCII)
Way = tuple["Way | None", "str | int"]  # path to a value: path to its container, and its key there
Place = tuple["dict[str, Any] | list[Any]", str, Way]  # container of an id, the id, its path


async def resolve(request: Request) -> Response:
    """Presigned URLs for ``ids``, or ``payload`` with every id in it replaced by its URL."""
    sidecar = sidecar_of(request)
    owner_of(request)
    body = await read_json(request, max_bytes=MAX_JSON, max_values=MAX_VALUES)
    if "payload" in body:
        return _json(await _resolve_payload(sidecar, body))
    return _json(await _resolve_ids(sidecar, body.get("ids")))


async def _resolve_ids(sidecar: Sidecar, asked: Any) -> dict[str, Any]:
    if asked is None:
        raise Refused("missing_field", "ids is required: a list of jan_* ids", "ids")
    if not isinstance(asked, list) or not 1 <= len(asked) <= MAX_IDS:
        raise Refused("invalid_field", f"ids must be a list of 1 to {MAX_IDS} ids", "ids")
    ids = []
    for position, text in enumerate(asked):
        if not isinstance(text, str):
            raise Refused("invalid_field", "ids must hold strings", f"ids[{position}]")
        media_id = parse_media_id(text)
        if media_id is None:
            raise not_found().at(f"ids[{position}]")
        ids.append(media_id)
    resolved = await all_ready(sidecar, list(dict.fromkeys(ids)))
    found = [_found(resolved, id, ((None, "ids"), position)) for position, id in enumerate(ids)]
    return {
        "media": [
            {
                "id": each.media.id,
                "presigned_url": each.url,
                "expires_at": iso_time(each.expires_at),
            }
            for each in found
        ]
    }


async def _resolve_payload(sidecar: Sidecar, body: dict[str, Any]) -> dict[str, Any]:
    answer = {"payload": body["payload"]}
    places = _find(answer, None, 0)
    ids = list(dict.fromkeys(media_id for _, media_id, _ in places))
    if len(ids) > MAX_IDS:
        raise Refused("invalid_field", f"payload may hold {MAX_IDS} different ids", "payload")
    if ids:
        resolved = await all_ready(sidecar, ids)
        for container, media_id, way in places:
            container[way[1]] = _found(resolved, media_id, way).url  # type: ignore[index]
    return answer


def _found(resolved: Resolved, media_id: str, way: Way) -> Found:
    try:
        return resolved.require(media_id)
    except Refused as refusal:
        raise refusal.at(_spelled(way)) from None


def _find(container: dict[str, Any] | list[Any], way: Way | None, depth: int) -> list[Place]:
    """Every string in ``container`` or below that is nothing but an id, in document order.

    Raises `Refused` for a payload that is nested too deeply.
    """
    if depth > MAX_DEPTH:
        raise too_deep()
    found: list[Place] = []
    for key, value in container.items() if isinstance(container, dict) else enumerate(container):
        if isinstance(value, str):
            if match := _PLACEHOLDER.fullmatch(value):
                found.append((container, match[1].lower(), (way, key)))
        elif isinstance(value, dict | list):
            found += _find(value, (way, key), depth + 1)
    return found


def _spelled(way: Way | None) -> str:
    """The way as text, such as ``payload.messages[0].image``; only its end if it is long."""
    text = ""
    while way is not None and len(text) < LONGEST_PARAM:
        way, key = way
        text = (f"[{key}]" if isinstance(key, int) else f".{key[:LONGEST_PARAM]}") + text
    return text.removeprefix(".")


def _json(value: dict[str, Any]) -> Response:
    try:
        return JSONResponse(value)
    except ValueError:
        raise Refused(
            "invalid_json",
            "The payload has a number or a character that JSON cannot carry back",
            "payload",
        ) from None
