"""``/v1/media/{id}/content``: the bytes themselves, streamed or by redirect."""

from starlette.requests import Request
from starlette.responses import Response

from jan_media.api.finding import ready_in_path
from jan_media.api.fitting import fitted
from jan_media.api.routes import sidecar_of
from jan_media.api.serving import Served, serve
from jan_media.catalog.interface import Media
from jan_media.library.links import filename
from jan_media.library.resolve import not_found
from jan_media.renditions.fit import Fit
from jan_media.sidecar import Sidecar
from jan_media.storage.interface import ObjectMissing

THUMBNAIL = Fit(types=("image/jpeg", "image/png", "image/webp"), max_edge=320, strip_metadata=True)


async def thumbnail(request: Request) -> Response:
    """A small picture of the file, for lists; the file itself if it is small or no picture."""
    sidecar = sidecar_of(request)
    found = await ready_in_path(request)
    return await serve_media(request, sidecar, await fitted(sidecar, found.media, THUMBNAIL))


async def content(request: Request) -> Response:
    """The file, with ranges, conditions and HEAD."""
    sidecar = sidecar_of(request)
    found = await ready_in_path(request)
    if not sidecar.settings.proxy_download:
        return Response(
            status_code=302,
            headers={"Location": found.link.url, "Cache-Control": "private, no-store"},
        )
    return await serve_media(request, sidecar, found.media)


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
