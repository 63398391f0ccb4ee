"""``/v1/media/{id}/content``: the bytes themselves, streamed or by redirect."""

from starlette.requests import Request
from starlette.responses import Response

from jan_media.api.callers import owner_of
from jan_media.api.finding import find_ready
from jan_media.api.routes import Routes
from jan_media.api.serving import Served, serve
from jan_media.library.links import filename
from jan_media.library.resolve import not_found
from jan_media.sidecar import Sidecar
from jan_media.storage.interface import ObjectMissing


def routes(sidecar: Sidecar) -> Routes:
    """The download route."""
    routes = Routes("media")

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

    return routes
