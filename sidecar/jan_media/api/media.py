"""The caller's media: information, a fresh URL, completing a direct upload, listing, deletion."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jan_media.api.bodies import number_between
from jan_media.api.callers import owner_of
from jan_media.api.ready_media import known_id, ready_in_path
from jan_media.api.routes import sidecar_of
from jan_media.catalog.interface import Owned, Position
from jan_media.errors import Refused
from jan_media.library.library import Library
from jan_media.library.resolve import Found, link
from jan_media.library.sweep import give_up
from jan_media.media_id import created_ms, parse_media_id

DEFAULT_PAGE = 50
LARGEST_PAGE = 200


async def usage(request: Request) -> Response:
    """How much the caller keeps, and the quotas. 0: no quota."""
    sidecar, owner = sidecar_of(request), owner_of(request)
    used = await sidecar.lanes.resolves.run(sidecar.library.catalog.usage, owner)
    quota = sidecar.library.rules.quota_of(owner)
    return JSONResponse(
        {
            "bytes": used.bytes,
            "files": used.files,
            "quota_bytes": quota.bytes,
            "quota_files": quota.files,
        }
    )


async def info(request: Request) -> Response:
    """Metadata and a presigned URL. A direct upload is checked now if that was not done yet."""
    found = await _seen_by_caller(request)
    return JSONResponse(_described(found))


async def complete(request: Request) -> Response:
    """The same as `info`, and whether this call found the upload's bytes under another id."""
    found = await _seen_by_caller(request)
    return JSONResponse({**_described(found), "deduped": found.deduped})


def _described(found: Found) -> dict[str, Any]:
    return {
        "id": found.media.id,
        "mime": found.media.mime,
        "bytes": found.media.bytes,
        "created_at": iso_time(found.media.created_at),
        "presigned_url": found.url,
        "url": found.url,
        "expires_at": iso_time(found.expires_at),
    }


def iso_time(milliseconds: int, *, precise: bool = False) -> str:
    """A time as RFC 3339 has it: ``2025-12-23T10:35:00Z``, with milliseconds if ``precise``."""
    time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return time.isoformat(timespec="milliseconds" if precise else "seconds")[:-6] + "Z"


async def _seen_by_caller(request: Request) -> Found:
    """The media that the path names, with the time of the caller's own claim on it."""
    sidecar, owner = sidecar_of(request), owner_of(request)
    found = await ready_in_path(request)
    claim = await sidecar.lanes.resolves.run(sidecar.library.claim_of, found.media.id, owner)
    if claim is None:
        return found
    return replace(found, media=replace(found.media, created_at=claim.created_at))


async def presign(request: Request) -> Response:
    """A fresh presigned URL."""
    found = await ready_in_path(request)
    return JSONResponse({"id": found.media.id, "url": found.url, "expires_in": found.ttl})


async def delete(request: Request) -> Response:
    """Give up the caller's claim; the media is deleted with the last claim."""
    sidecar, owner = sidecar_of(request), owner_of(request)
    media_id = known_id(request.path_params["id"])
    await sidecar.lanes.uploads.run(give_up, sidecar.library, media_id, owner)
    return Response(status_code=204)


async def list_own(request: Request) -> Response:
    """The caller's media, newest first."""
    sidecar, owner = sidecar_of(request), owner_of(request)
    limit = page_size(request.query_params, DEFAULT_PAGE, LARGEST_PAGE)
    cursor = request.query_params.get("after", "")
    listed = await sidecar.lanes.resolves.run(_listed, sidecar.library, owner, limit, cursor)
    return JSONResponse(listed)


def _listed(library: Library, owner: str, limit: int, cursor: str) -> dict[str, Any]:
    after = parse_cursor(library, cursor, owner, "after") if cursor else None
    part = library.catalog.list_owned(owner, now=library.clock(), limit=limit, after=after)
    seen = [replace(each.media, created_at=each.claim.created_at) for each in part.items]
    return {
        "media": [_described(link(library, media)) for media in seen],
        "next": cursor_of(part.items[-1]) if part.more else None,
    }


def page_size(asked: QueryParams, default: int, largest: int) -> int:
    """How many items a page may have. Raises `Refused`."""
    return number_between(1, largest, asked.get("limit", str(default)), at="limit")


def cursor_of(last: Owned) -> str:
    """The cursor of the position in a list right after ``last``."""
    created_at, media_id = last.position
    return f"{media_id}.{created_at}"


def parse_cursor(library: Library, text: str, owner: str, param: str) -> Position:
    """The position that `cursor_of` encoded, or an id's position or, if that id is gone, its
    creation time. Blocking. Raises `Refused`."""
    id, dot, created_at = text.partition(".")
    media_id = parse_media_id(id)
    if media_id is not None and not dot:
        claim = library.claim_of(media_id, owner)
        return (claim.created_at if claim else created_ms(media_id)), media_id
    if media_id is None or not re.fullmatch(r"[0-9]{1,15}", created_at):
        message = f"{param} must be the next of an earlier page, or an id"
        raise Refused("invalid_field", message, param)
    return int(created_at), media_id
