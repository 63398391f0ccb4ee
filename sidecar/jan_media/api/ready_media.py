"""From ids in a request to media that is ready: direct uploads are checked on the way, and what a
model does not take is converted while the request waits.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request

from jan_media.api.callers import owner_of
from jan_media.api.routes import sidecar_of
from jan_media.catalog.interface import Media, Rendition, State
from jan_media.content.decoders import PROCESSES
from jan_media.content.sniff import CHECKED
from jan_media.errors import Refused
from jan_media.library import renditions
from jan_media.library.direct_upload import complete
from jan_media.library.resolve import Found, Link, Resolved, filename, not_found, resolve
from jan_media.media_id import parse_media_id
from jan_media.renditions.fit import Fit
from jan_media.sidecar import Sidecar


async def all_ready(sidecar: Sidecar, ids: Sequence[str], *, ttl: int | None = None) -> Resolved:
    """Resolve canonical ids; the URLs live ``ttl`` seconds, or as long as a client's.

    A pending id is checked in a lane of its own, since that may take long.
    Raises `CatalogUnavailable` and `StorageUnavailable`.
    """
    resolved = await sidecar.lanes.resolves.run(resolve, sidecar.library, ids, ttl)
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


def fit_of(asked: Mapping[str, Any]) -> Fit | None:
    """The limits that a message of the plugin names; None if it names none. Raises `Refused`."""
    given = asked.get("fit")
    if given is None:
        return None
    try:
        return Fit.parse(given if isinstance(given, dict) else {"types": given})
    except ValueError as problem:
        raise Refused("invalid_field", str(problem), "fit") from None


async def fitted(sidecar: Sidecar, media: Media, fit: Fit) -> Media:
    """Ready media as it fits. Raises `Refused`, `CatalogUnavailable` and `StorageUnavailable`."""
    made = await _renditions(sidecar, [media], fit)
    return renditions.as_it_fits(media, _settled(made.get(media.sha256)))


async def all_fitted(
    sidecar: Sidecar, found: Mapping[str, Found], fit: Fit
) -> tuple[dict[str, Found], dict[str, Refused]]:
    """Ready media as it fits, by the same names; and by name why others cannot be made to."""
    made = await _renditions(sidecar, [each.media for each in found.values()], fit)
    fitting, refused = {}, {}
    for name, each in found.items():
        try:
            media = renditions.as_it_fits(each.media, _settled(made.get(each.media.sha256)))
        except Refused as refusal:
            refused[name] = refusal
        else:
            as_it_is = media is each.media
            fitting[name] = each if as_it_is else Found(media, _link(sidecar, media, each.link))
    return fitting, refused


def _link(sidecar: Sidecar, media: Media, original: Link) -> Link:
    url = sidecar.library.storage.presign_get(
        media.storage_key, mime=media.mime, filename=filename(media), ttl=original.ttl
    )
    return Link(url=url, ttl=original.ttl, expires_at=original.expires_at)


Made = Rendition | Refused | None


def _settled(made: Made) -> Rendition | None:
    if isinstance(made, Refused):
        raise made
    return made


async def _renditions(sidecar: Sidecar, media: list[Media], fit: Fit) -> dict[str, Made]:
    """By SHA-256 the renditions of these pictures, or why there is none."""
    made: dict[str, Made] = {
        **await sidecar.lanes.resolves.run(renditions.known, sidecar.library, media, fit)
    }
    missing = {each.sha256: each for each in media if each.mime in CHECKED}.values()
    threads = asyncio.Semaphore(PROCESSES)  # one request takes no more threads than can be used

    async def make(each: Media) -> None:
        async with threads:
            try:
                with sidecar.metrics.timing("rendition", each.id):
                    made[each.sha256] = await sidecar.lanes.uploads.run(
                        renditions.make, sidecar.library, each, fit
                    )
            except Refused as refusal:
                made[each.sha256] = refusal

    await asyncio.gather(*(make(each) for each in missing if each.sha256 not in made))
    return made
