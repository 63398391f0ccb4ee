"""Uploads: ``POST /v1/media``, in any of the four ways that clients send a file, and
``POST /v1/media/prepare-upload``, which promises an id for bytes that go straight to the storage.

For every kind of upload, each piece of the body goes from the socket through a decoder into the
spool before the next one is read. So memory stays bounded, and a body is refused as soon as it is
too large.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jan_media.api.bodies import (
    SMALL_JSON,
    RawBody,
    content_type,
    read_json,
    refuse_content_encoding,
    text_field,
)
from jan_media.api.callers import owner_of
from jan_media.api.form_body import FormBody
from jan_media.api.json_body import JsonBody
from jan_media.api.media import iso_time
from jan_media.api.routes import sidecar_of
from jan_media.content.allowed_types import AllowedTypes
from jan_media.errors import Refused
from jan_media.library.direct_upload import prepare
from jan_media.library.ingest import store
from jan_media.library.resolve import Found, link
from jan_media.library.spool import Spool
from jan_media.sidecar import Sidecar

T = TypeVar("T")


async def upload(request: Request) -> Response:
    """Store a file: by URL, as a data URL, as a form, or as the body itself."""
    owner_of(request)  # before a byte is read
    kept = await take_in(request, _body_kind(request))
    return JSONResponse(
        {
            "id": kept.media.id,
            "mime": kept.media.mime,
            "bytes": kept.media.bytes,
            "deduped": kept.deduped,
            "presigned_url": kept.url,
            "expires_at": iso_time(kept.expires_at),
        }
    )


async def take_in(
    request: Request, body_kind: type[RawBody], *, allowed: AllowedTypes | None = None
) -> Found:
    """Spool the whole file, from the body or from its URL, and store it for the caller.

    ``allowed`` are the accepted types, by default those of the settings. Raises `Refused`,
    `TooBusy`, and what storing raises.
    """
    sidecar = sidecar_of(request)
    owner = caller = owner_of(request)
    guest = sidecar.library.rules.is_guest(caller)

    def keep() -> Found:
        claimed = store(sidecar.library, spool, owner, body.details, allowed=allowed)
        return link(sidecar.library, claimed.media, deduped=claimed.deduped)

    def end() -> Found | None:
        """Store the file; None if it must be fetched first."""
        nonlocal owner
        owner = owner_of(request, body.close())
        return None if body.url else keep()

    async with spooled(sidecar) as spool:
        body = body_kind(request, spool)
        try:
            kept = await receive(sidecar, body, end, caller=caller, guest=guest)
            if kept is None:  # without an upload slot, since another host may be slow
                async with sidecar.fetches.taken(caller, guest=guest):
                    await _fetch(sidecar, body.url, spool)
                    kept = await sidecar.lanes.checks.run(keep)
        except Refused as refusal:
            raise refusal.at(body.param) from None
    if sidecar.ahead is not None and not kept.deduped:
        sidecar.ahead.make(kept.media)
    return kept


async def receive(
    sidecar: Sidecar, body: RawBody, end: Callable[[], T], *, caller: str, guest: bool = False
) -> T:
    """Feed the body as it arrives, then return what ``end`` returns; both in threads, in a slot."""
    await body.arriving.begin()
    async with sidecar.uploads.taken(caller, guest=guest, sender=body.arriving):
        async for piece in body.arriving.pieces():
            await sidecar.lanes.uploads.run(body.feed, piece)
        return await sidecar.lanes.checks.run(end)


async def _fetch(sidecar: Sidecar, url: str, spool: Spool) -> None:
    async def take(chunk: bytes) -> None:
        await sidecar.lanes.uploads.run(spool.write, chunk)

    with sidecar.metrics.timing("fetch", _host(url)):
        await sidecar.fetcher.fetch(url, take)


def _host(url: str) -> str:
    """The part of a URL that may be logged: any other part may hold a secret."""
    try:
        return ascii(urlsplit(url).hostname or "")[:100]
    except ValueError:
        return "an odd URL"


def _body_kind(request: Request) -> type[RawBody]:
    """The kind of upload that a request is. Raises `Refused` for an unsupported kind."""
    refuse_content_encoding(request)
    kind = content_type(request)
    if kind == "application/json" or (kind.endswith("+json") and not kind.startswith("image/")):
        return JsonBody
    if kind == "multipart/form-data":
        return FormBody
    if kind.startswith(("image/", "audio/", "video/")) or kind in (
        "application/octet-stream",
        "application/pdf",
    ):
        return RawBody
    raise Refused(
        "unsupported_media_type",
        "Send application/json, multipart/form-data, or the file itself as image/*",
    )


async def prepare_upload(request: Request) -> Response:
    """Promise an id, and return where to send its bytes within the next minutes."""
    sidecar = sidecar_of(request)
    owner_of(request)  # before a byte is read
    body = await read_json(request, max_bytes=SMALL_JSON)
    owner = owner_of(request, body)
    older = body.get("content_type") is None and "mime_type" in body
    name = "mime_type" if older else "content_type"
    mime = text_field(body, name).partition(";")[0].strip().lower()
    try:
        promised = await sidecar.lanes.resolves.run(prepare, sidecar.library, mime, owner)
    except Refused as refusal:
        raise refusal.at(name) from None
    return JSONResponse(
        {
            "jan_id": promised.media.id,
            "id": promised.media.id,
            "presigned_url": promised.put,
            "upload_url": promised.put,
            "presigned_post": {"url": promised.post.url, "fields": promised.post.fields},
            "mime_type": promised.media.mime,
            "expires_in": promised.expires_in,
        }
    )


@asynccontextmanager
async def spooled(sidecar: Sidecar) -> AsyncIterator[Spool]:
    """A spool for a file of the allowed size, deleted at the end."""
    spool = Spool(sidecar.library.spool_dir, max_bytes=sidecar.settings.max_bytes)
    try:
        yield spool
    finally:
        sidecar.lanes.uploads.submit(spool.close)  # nobody has to wait for it
