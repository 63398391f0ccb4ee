"""One's media: information, a fresh URL, settling a direct upload, listing, deletion."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jan_media.api import answers
from jan_media.api.callers import owner_of
from jan_media.api.finding import find_ready, known_id
from jan_media.errors import Refused
from jan_media.library.owned import give_up, page
from jan_media.media_id import parse_media_id
from jan_media.sidecar import Sidecar

DEFAULT_PAGE = 50
LARGEST_PAGE = 200


def routes(sidecar: Sidecar) -> APIRouter:
    """The routes below ``/v1/media/{id}``, and the listing."""
    router = APIRouter(tags=["media"])

    @router.get("/v1/media/{id}", response_model=answers.Info, responses=answers.errors(404, 409))
    async def get_info(request: Request, id: str) -> Response:
        """Metadata and a presigned URL of one media."""
        identify(request)
        found = await find_ready(sidecar, id)
        return JSONResponse(answers.info(found.media, found.link))

    @router.get(
        "/v1/media/{id}/presign",
        response_model=answers.Presigned,
        responses=answers.errors(404, 409),
    )
    async def presign(request: Request, id: str) -> Response:
        """A fresh presigned URL."""
        identify(request)
        found = await find_ready(sidecar, id)
        return JSONResponse({"url": found.link.url, "expires_in": found.link.ttl})

    @router.post(
        "/v1/media/{id}/complete",
        response_model=answers.Info,
        responses=answers.errors(400, 404, 409, 413, 415),
    )
    async def complete(request: Request, id: str) -> Response:
        """Check a direct upload now rather than at its first use."""
        identify(request)
        found = await find_ready(sidecar, id)
        return JSONResponse(answers.info(found.media, found.link))

    @router.delete(
        "/v1/media/{id}",
        status_code=204,
        response_class=Response,
        responses=answers.errors(403, 404),
    )
    async def delete(request: Request, id: str) -> Response:
        """Give up one's claim; the media goes with the last one."""
        owner = identify(request)
        await sidecar.lanes.uploads.run(give_up, sidecar.library, known_id(id), owner)
        return Response(status_code=204)

    @router.get("/v1/media", response_model=answers.Page, responses=answers.errors(400))
    async def list_own(request: Request, limit: int = DEFAULT_PAGE, after: str = "") -> Response:
        """One's own media, newest first."""
        owner = identify(request)
        if not 1 <= limit <= LARGEST_PAGE:
            raise Refused("invalid_field", f"limit must be between 1 and {LARGEST_PAGE}", "limit")
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

    return router
