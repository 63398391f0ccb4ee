"""The internal listener: what the Kong plugin asks, in msgpack, and what operators scrape.

``POST /internal/resolve`` is on the path of every chat request with ids that are not cached, so
it is plain: one msgpack message in, one out, nothing between.
"""

import base64
from typing import Any

import msgpack
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from jan_media.api import describing, health
from jan_media.api.access_log import AccessLog
from jan_media.api.bodies import read_body
from jan_media.api.callers import GatewayOnly, ThisMachineOnly
from jan_media.api.finding import find_all
from jan_media.api.routes import Routed, Routes
from jan_media.catalog.interface import Media, State
from jan_media.errors import Refused, megabytes, too_large
from jan_media.library.resolve import Found, Resolved, why_not
from jan_media.media_id import parse_media_id
from jan_media.sidecar import Sidecar
from jan_media.storage.interface import ObjectMissing, Storage

MSGPACK = "application/msgpack"
MAX_REQUEST = 1024 * 1024
MAX_IDS = 1000  # as many as the plugin's max_ids may say
MAX_INLINED = 64 * 1024 * 1024  # bytes of all files in one answer with data URLs


def internal_app(sidecar: Sidecar) -> ASGIApp:
    """The internal listener's app."""
    parts = [_routes(sidecar), health.routes(sidecar), health.metrics_routes(sidecar)]
    guarded: ASGIApp = Routed([*parts, describing.routes(sidecar, "Jan Media, internal", parts)])
    if sidecar.gateway_secret.configured:
        guarded = GatewayOnly(guarded, sidecar.gateway_secret, ("/internal/",))
    elif not sidecar.settings.internal_listen.path:  # browsers speak to no Unix socket
        guarded = ThisMachineOnly(guarded, ("/internal/",))
    return AccessLog(guarded, sidecar.metrics, "internal")


def _routes(sidecar: Sidecar) -> Routes:
    routes = Routes("plugin")

    @routes.on("POST /internal/resolve")
    async def resolve(request: Request) -> Response:
        """URLs (or data URLs) for ids; what cannot be resolved is told apart by id."""
        asked = await _unpacked(request)
        ids = _ids(asked)
        resolved = await find_all(sidecar, [id for id in ids if parse_media_id(id) == id])
        if asked.get("as", "url") == "url":
            return _packed(_as_urls(resolved, ids))
        return _packed(await _as_data_urls(sidecar, resolved, ids, _max_bytes(sidecar, asked)))

    @routes.on("POST /internal/keys/verify")
    async def verify_key(request: Request) -> Response:
        """Whether an API key is good, and whose it is."""
        key = (await _unpacked(request)).get("key")
        if not isinstance(key, str):
            raise Refused("missing_field", "key is required", "key")
        record = await sidecar.lanes.resolves.run(
            sidecar.keyring.verify, key, sidecar.library.clock()
        )
        if record is None:
            return _packed(
                {"valid": False, "user_id": "", "groups": [], "key_id": "", "expires_at": None}
            )
        return _packed(
            {
                "valid": True,
                "user_id": record.owner,
                "groups": list(record.groups),
                "key_id": record.id,
                "expires_at": None if record.expires_at is None else record.expires_at / 1000,
            }
        )

    return routes


def _as_urls(resolved: Resolved, ids: list[str]) -> dict[str, Any]:
    media = {id: _answer(found, found.link.url) for id, found in resolved.found.items()}
    errors = {id: _error(resolved.unready.get(id)) for id in ids if id not in media}
    return {"media": media, "errors": errors}


async def _as_data_urls(
    sidecar: Sidecar, resolved: Resolved, ids: list[str], max_bytes: int
) -> dict[str, Any]:
    answer = _as_urls(resolved, ids)
    left = MAX_INLINED
    for id, found in resolved.found.items():
        if found.media.bytes > max_bytes:
            refusal = too_large(max_bytes)
        elif found.media.bytes > left:
            refusal = Refused(
                "max_size_exceeded",
                f"The media of one request exceeds the maximum in all ({megabytes(MAX_INLINED)})",
            )
        else:
            left -= found.media.bytes
            try:
                url = await sidecar.lanes.downloads.run(
                    data_url, sidecar.library.storage, found.media
                )
                answer["media"][id]["url"] = url
                continue
            except ObjectMissing:  # deleted since we looked
                refusal = why_not(None)
        del answer["media"][id]
        answer["errors"][id] = {"code": refusal.code, "message": refusal.message}
    return answer


def data_url(storage: Storage, media: Media) -> str:
    """The bytes of ready media inline. Raises `ObjectMissing` and `StorageUnavailable`."""
    with storage.read(media.storage_key) as reading:
        content = b"".join(reading.chunks())
    return f"data:{media.mime};base64,{base64.b64encode(content).decode()}"


def _answer(found: Found, url: str) -> dict[str, Any]:
    return {
        "url": url,
        "mime": found.media.mime,
        "expires_at": found.link.expires_at / 1000,
        "ttl": found.link.ttl,
    }


def _error(media: Media | None) -> dict[str, str]:
    refusal = why_not(media)
    rejected = media is not None and media.state is State.REJECTED
    return {"code": "upload_rejected" if rejected else refusal.code, "message": refusal.message}


def _ids(asked: dict[str, Any]) -> list[str]:
    """The ids that were asked for, in canonical form; what is no id stays as it is, unknown."""
    ids = asked.get("ids")
    if not isinstance(ids, list) or len(ids) > MAX_IDS:
        raise Refused("invalid_field", f"ids must be a list of at most {MAX_IDS} ids", "ids")
    if not all(isinstance(id, str) for id in ids):
        raise Refused("invalid_field", "ids must hold strings", "ids")
    if asked.get("as", "url") not in ("url", "data_url"):
        raise Refused("invalid_field", "as must be url or data_url", "as")
    return list(dict.fromkeys(parse_media_id(id) or id for id in ids))


def _max_bytes(sidecar: Sidecar, asked: dict[str, Any]) -> int:
    given = asked.get("max_bytes")
    if given is None:
        return sidecar.settings.max_bytes
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise Refused("invalid_field", "max_bytes must be a number above 0", "max_bytes")
    return given


async def _unpacked(request: Request) -> dict[str, Any]:
    body = await read_body(request, max_bytes=MAX_REQUEST)
    try:
        value = msgpack.unpackb(body)
    except (ValueError, msgpack.UnpackException):
        raise Refused("invalid_body", "The body is not one msgpack message") from None
    if not isinstance(value, dict):
        raise Refused("invalid_body", "The message must be a map")
    return value


def _packed(value: dict[str, Any]) -> Response:
    return Response(msgpack.packb(value), media_type=MSGPACK)
