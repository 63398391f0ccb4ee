"""``/v1/media/{id}/content``: the bytes themselves, streamed or by redirect."""

from starlette.requests import Request
from starlette.responses import Response

from jan_media.api.callers import owner_of
from jan_media.api.finding import find_ready
from jan_media.api.fitting import fitted
from jan_media.api.routes import Routes
from jan_media.api.serving import Served, serve
from jan_media.catalog.interface import Media
from jan_media.library.links import filename
from jan_media.library.resolve import not_found
from jan_media.renditions.fit import Fit
from jan_media.sidecar import Sidecar
from jan_media.storage.interface import ObjectMissing

THUMBNAIL = Fit(types=("image/jpeg", "image/png", "image/webp"), max_edge=320, strip_metadata=True)


def routes(sidecar: Sidecar) -> Routes:
    """The download route."""
    routes = Routes("media")

    @routes.on("GET /v1/media/{id}/thumbnail")
    async def thumbnail(request: Request, id: str) -> Response:
        """A small picture of the file, for lists; the file itself if it is small or no picture."""
        owner_of(request, trusts_network=sidecar.trusts_network)
        found = await find_ready(sidecar, id)
        return await serve_media(request, sidecar, await fitted(sidecar, found.media, THUMBNAIL))

    @routes.on("GET /v1/media/{id}/content", "HEAD /v1/media/{id}/content")
    async def content(request: Request, id: str) -> Response:
        """The file, with ranges, conditions and HEAD."""
        owner_of(request, trusts_network=sidecar.trusts_network)
        found = await find_ready(sidecar, id)
        if not sidecar.settings.proxy_download:
            return Response(
                status_code=302,
                headers={"Location": found.link.url, "Cache-Control": "private, no-store"},
            )
        return await serve_media(request, sidecar, found.media)

    return routes


async def serve_media(request: Request, sidecar: Sidecar, media: Media) -> Response:
    """The bytes of ready media, streamed. Raises `Refused` if they are gone by now."""
    storage = sidecar.library.storage
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
