"""From ids in a request to media, settling direct uploads on the way."""

from collections.abc import Sequence

from starlette.requests import Request

from jan_media.api.callers import owner_of
from jan_media.api.routes import sidecar_of
from jan_media.catalog.interface import State
from jan_media.library.direct_upload import complete
from jan_media.library.resolve import Found, Resolved, not_found, resolve
from jan_media.media_id import parse_media_id
from jan_media.sidecar import Sidecar


async def find_all(sidecar: Sidecar, ids: Sequence[str], *, ttl: int | None = None) -> Resolved:
    """Resolve canonical ids; the URLs live ``ttl`` seconds, or as long as a client's.

    A pending id is checked in a lane of its own, since that may take long.
    Raises `CatalogUnavailable` and `StorageUnavailable`.
    """
    resolved = await sidecar.lanes.resolves.run(resolve, sidecar.library, ids, ttl)
    for media in list(resolved.unready.values()):
        if media.state is State.PENDING:
            settled = await sidecar.lanes.checks.run(complete, sidecar.library, media)
            del resolved.unready[media.id]
            resolved.settle(sidecar.library, settled)
    return resolved


async def ready_in_path(request: Request) -> Found:
    """The media that the path names, for any caller. Raises `Refused`, and like `find_all`."""
    owner_of(request)
    return await find_ready(sidecar_of(request), request.path_params["id"])


async def find_ready(sidecar: Sidecar, text: str) -> Found:
    """The media that ``text`` names. Raises `Refused`, and like `find_all`."""
    media_id = known_id(text)
    return (await find_all(sidecar, [media_id])).require(media_id)


def known_id(text: str) -> str:
    """The canonical id. Raises `Refused` (``media_not_found``) for what cannot be an id."""
    media_id = parse_media_id(text)
    if media_id is None:
        raise not_found()
    return media_id
