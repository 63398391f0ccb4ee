"""One's media: information, a fresh URL, settling a direct upload, listing, deletion."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jan_media.api import answers
from jan_media.api.callers import owner_of
from jan_media.api.ready_media import known_id, ready_in_path
from jan_media.api.routes import sidecar_of
from jan_media.errors import Refused
from jan_media.library.owned import give_up, page, share
from jan_media.media_id import parse_media_id

DEFAULT_PAGE = 50
LARGEST_PAGE = 200


async def usage(request: Request) -> Response:
    """How much the caller keeps, and how much is the most. A quota of 0 is none."""
    sidecar = sidecar_of(request)
    kept = await sidecar.lanes.resolves.run(share, sidecar.library, owner_of(request))
    return JSONResponse(answers.usage(kept))


async def info(request: Request) -> Response:
    """Metadata and a presigned URL. A direct upload is checked now if it was not yet."""
    found = await ready_in_path(request)
    return JSONResponse(answers.info(found.media, found.link))


async def presign(request: Request) -> Response:
    """A fresh presigned URL."""
    found = await ready_in_path(request)
    return JSONResponse({"id": found.media.id, "url": found.link.url, "expires_in": found.link.ttl})


async def delete(request: Request) -> Response:
    """Give up one's claim; the media goes with the last one."""
    sidecar, owner = sidecar_of(request), owner_of(request)
    media_id = known_id(request.path_params["id"])
    await sidecar.lanes.uploads.run(give_up, sidecar.library, media_id, owner)
    return Response(status_code=204)


async def list_own(request: Request) -> Response:
    """One's own media, newest first."""
    sidecar, owner = sidecar_of(request), owner_of(request)
    limit = _page_size(request.query_params.get("limit", str(DEFAULT_PAGE)))
    after = request.query_params.get("after", "")
    before = None
    if after:
        before = parse_media_id(after)
        if before is None:
            raise Refused("invalid_field", "after must be the next of an earlier page", "after")
    listed = await sidecar.lanes.resolves.run(
        page, sidecar.library, owner, limit=limit, before=before
    )
    return JSONResponse(
        {
            "media": [answers.info(item.media, item.link) for item in listed.items],
            "next": listed.next,
        }
    )


def _page_size(text: str) -> int:
    size = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= size <= LARGEST_PAGE:
        raise Refused("invalid_field", f"limit must be between 1 and {LARGEST_PAGE}", "limit")
    return size
