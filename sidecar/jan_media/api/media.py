"""One's media: information, a fresh URL, settling a direct upload, listing, deletion."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jan_media.api import answers
from jan_media.api.callers import owner_of
from jan_media.api.finding import find_ready, known_id
from jan_media.api.routes import Routes
from jan_media.errors import Refused
from jan_media.library.owned import give_up, page, share
from jan_media.media_id import parse_media_id
from jan_media.sidecar import Sidecar

DEFAULT_PAGE = 50
LARGEST_PAGE = 200


def routes(sidecar: Sidecar) -> Routes:
    """The routes below ``/v1/media/{id}``, and the listing."""
    routes = Routes("media")

    @routes.on("GET /v1/media/usage")
    async def usage(request: Request) -> Response:
        """How much the caller keeps, and how much is the most. A quota of 0 is none."""
        kept = await sidecar.lanes.resolves.run(share, sidecar.library, identify(request))
        return JSONResponse(answers.usage(kept))

    @routes.on("GET /v1/media/{id}")
    async def get_info(request: Request, id: str) -> Response:
        """Metadata and a presigned URL of one media."""
        identify(request)
        found = await find_ready(sidecar, id)
        return JSONResponse(answers.info(found.media, found.link))

    @routes.on("GET /v1/media/{id}/presign")
    async def presign(request: Request, id: str) -> Response:
        """A fresh presigned URL."""
        identify(request)
        found = await find_ready(sidecar, id)
        return JSONResponse(
            {"id": found.media.id, "url": found.link.url, "expires_in": found.link.ttl}
        )

    @routes.on("POST /v1/media/{id}/complete")
    async def complete(request: Request, id: str) -> Response:
        """Check a direct upload now rather than at its first use."""
        identify(request)
        found = await find_ready(sidecar, id)
        return JSONResponse(answers.info(found.media, found.link))

    @routes.on("DELETE /v1/media/{id}")
    async def delete(request: Request, id: str) -> Response:
        """Give up one's claim; the media goes with the last one."""
        owner = identify(request)
        await sidecar.lanes.uploads.run(give_up, sidecar.library, known_id(id), owner)
        return Response(status_code=204)

    @routes.on("GET /v1/media")
    async def list_own(request: Request) -> Response:
        """One's own media, newest first."""
        owner = identify(request)
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

    def identify(request: Request) -> str:
        return owner_of(request, trusts_network=sidecar.trusts_network)

    return routes


def _page_size(text: str) -> int:
    size = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= size <= LARGEST_PAGE:
        raise Refused("invalid_field", f"limit must be between 1 and {LARGEST_PAGE}", "limit")
    return size
