"""``/v1/media/{id}/content``: the bytes themselves, streamed or by redirect."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from jan_media.api import answers
from jan_media.api.callers import owner_of
from jan_media.api.finding import find_ready
from jan_media.api.serving import Served, serve
from jan_media.library.links import filename
from jan_media.library.resolve import not_found
from jan_media.sidecar import Sidecar
from jan_media.storage.interface import ObjectMissing


def routes(sidecar: Sidecar) -> APIRouter:
    """The download route."""
    router = APIRouter(tags=["media"])
    path = "/v1/media/{id}/content"

    @router.get(
        path,
        response_class=Response,
        responses={
            200: {"content": {"image/*": {}}},
            206: {"description": "A range of the bytes"},
            302: {"description": "Where the bytes are, with MEDIA_PROXY_DOWNLOAD=false"},
            304: {"description": "Not modified"},
            **answers.errors(404, 409, 416),
        },
    )
    @router.head(path, include_in_schema=False)
    async def content(request: Request, id: str) -> Response:
        """The file, with ranges, conditions and HEAD."""
        owner_of(request, trusts_network=sidecar.trusts_network)
        found = await find_ready(sidecar, id)
        if not sidecar.settings.proxy_download:
            return Response(
                status_code=302,
                headers={"Location": found.link.url, "Cache-Control": "private, no-store"},
            )
        media, storage = found.media, sidecar.library.storage
        served = Served(
            total=media.bytes,
            mime=media.mime,
            filename=filename(media),
            etag=media.sha256,
            open=lambda start, stop: storage.read(media.storage_key, start=start, stop=stop),
        )
        try:
            return await serve(request, sidecar.lanes.downloads, served)
        except ObjectMissing:  # deleted since we looked
            raise not_found() from None

    return router
