"""Gets ready media for the ids of a request. While the request waits, direct uploads are checked,
and pictures that a model does not accept are converted.
"""

import asyncio
from collections.abc import Sequence

from starlette.requests import Request

from jan_media.api.callers import owner_of
from jan_media.api.routes import sidecar_of
from jan_media.catalog.interface import Media, State
from jan_media.content.allowed_types import CHECKED
from jan_media.content.decoders import PROCESSES
from jan_media.errors import Refused
from jan_media.library import renditions
from jan_media.library.direct_upload import complete
from jan_media.library.resolve import Found, Resolved, not_found
from jan_media.media_id import parse_media_id
from jan_media.renditions.fit import Fit
from jan_media.sidecar import Sidecar


async def all_ready(sidecar: Sidecar, ids: Sequence[str], *, ttl: int | None = None) -> Resolved:
    """Resolve canonical ids; the URLs are valid for ``ttl`` seconds, or as long as a client's.

    A pending id is checked in a separate lane, since that may take long.
    Raises `CatalogUnavailable` and `StorageUnavailable`.
    """
    known = await sidecar.lookups.find(ids)
    resolved = Resolved(ttl=ttl)
    for id in ids:
        if id in known:
            resolved.settle(sidecar.library, known[id])
    for media in list(resolved.unready.values()):
        if media.state is State.PENDING:
            settled = await sidecar.lanes.checks.run(complete, sidecar.library, media)
            del resolved.unready[media.id]
            if settled is not None:
                resolved.settle(sidecar.library, settled.media, deduped=settled.deduped)
    return resolved


async def ready_in_path(request: Request) -> Found:
    """The media that the path names, for any caller. Raises `Refused`, and like `all_ready`."""
    owner_of(request)
    return await one_ready(sidecar_of(request), request.path_params["id"])


async def one_ready(sidecar: Sidecar, text: str) -> Found:
    """The media that ``text`` names. Raises `Refused`, and like `all_ready`."""
    media_id = known_id(text)
    return (await all_ready(sidecar, [media_id])).require(media_id)


def known_id(text: str) -> str:
    """The canonical id. Raises `Refused` (``media_not_found``) for what cannot be an id."""
    media_id = parse_media_id(text)
    if media_id is None:
        raise not_found()
    return media_id


async def fitted(sidecar: Sidecar, media: Sequence[Media], fit: Fit) -> dict[str, Media | Refused]:
    """Ready media converted to ``fit``, by id; or the reason why that is not possible.

    Raises `CatalogUnavailable` and `StorageUnavailable`.
    """
    known = await sidecar.lanes.resolves.run(renditions.known, sidecar.library, media, fit)
    threads = asyncio.Semaphore(PROCESSES)  # one request takes no more threads than decoders

    async def one(each: Media) -> Media | Refused:
        made = known.get(each.sha256)
        try:
            if made is None and each.mime in CHECKED:
                async with threads:
                    with sidecar.metrics.timing("rendition", each.id):
                        made = await sidecar.lanes.uploads.run(
                            renditions.make, sidecar.library, each, fit
                        )
            return renditions.as_it_fits(each, made)
        except Refused as refusal:
            return refusal

    fitting = await asyncio.gather(*map(one, media))
    return {each.id: fits for each, fits in zip(media, fitting, strict=True)}


async def one_fitted(sidecar: Sidecar, media: Media, fit: Fit) -> Media:
    """Ready media converted to ``fit``. Raises `Refused`, and like `fitted`."""
    (fits,) = (await fitted(sidecar, [media], fit)).values()
    if isinstance(fits, Refused):
        raise fits
    return fits
