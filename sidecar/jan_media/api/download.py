"""``/v1/media/{id}/content`` and ``thumbnail``: the bytes, streamed or by redirect.

Supports ranges and conditional requests (RFC 9110, sections 13 and 14), and sends headers that keep
browsers from running the content.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from jan_media.api.errors import error_response
from jan_media.api.ready_media import one_fitted, ready_in_path
from jan_media.api.routes import sidecar_of
from jan_media.catalog.interface import Media
from jan_media.library.resolve import Found, filename, not_found
from jan_media.renditions.fit import Fit
from jan_media.server.lanes import Lane
from jan_media.storage.interface import ObjectMissing

LONGEST_NAME = 255  # bytes of UTF-8: a longer name is left out of the header
THUMBNAIL = Fit(types=("image/jpeg", "image/png", "image/webp"), max_edge=320, strip_metadata=True)


async def thumbnail(request: Request) -> Response:
    """A small version of the picture, for lists; the file itself if it is small or no picture."""
    found = await ready_in_path(request)
    small = await one_fitted(sidecar_of(request), found.media, THUMBNAIL)
    return await serve_media(request, small)


async def content(request: Request) -> Response:
    """The file, with ranges, conditions and HEAD."""
    return await send_bytes(request, await ready_in_path(request))


async def send_bytes(request: Request, found: Found, *, name: str = "") -> Response:
    """Stream the bytes as a file called ``name``, or redirect to them, as the settings say."""
    if not sidecar_of(request).settings.proxy_download:
        return Response(
            status_code=302,
            headers={"Location": found.url, "Cache-Control": "private, no-store"},
        )
    return await serve_media(request, found.media, name=name)


async def serve_media(request: Request, media: Media, *, name: str = "") -> Response:
    """Stream the bytes of ready media, as a file called ``name``.

    Raises `Refused` if they have been deleted.
    """
    return await serve(
        request,
        media.storage_key,
        total=media.bytes,
        mime=media.mime,
        filename=filename(media),
        etag=media.sha256,
        name=name,
    )


SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, max-age=300",
}


async def serve(
    request: Request, key: str, *, total: int, mime: str, filename: str, etag: str, name: str = ""
) -> Response:
    """Answer a GET or HEAD for an object of ``total`` bytes, with its conditions and its Range.

    ``filename`` has only letters, digits, dots and dashes. ``name`` is any text, which clients
    that support it use instead. ``etag`` is the strong validator, without quotes. Raises `Refused`
    if the object has been deleted.
    """
    etag = f'"{etag}"'
    headers = {**SAFE_HEADERS, "ETag": etag, "Accept-Ranges": "bytes"}
    if _matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    part = _range(request, etag, total)
    start, stop = part or (0, total)
    if part and start >= stop:
        return error_response(
            "range_not_satisfiable",
            f"The file has {total} bytes: ask for a range within them",
            "Range",
            {"Content-Range": f"bytes */{total}"},
        )
    if part:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{total}"
    headers["Content-Length"] = str(stop - start)
    headers["Content-Type"] = mime
    headers["Content-Disposition"] = _disposition(filename, name)
    status = 206 if part else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    sidecar = sidecar_of(request)
    lane = sidecar.lanes.downloads
    opened = sidecar.library.storage.read(key, start=start, stop=stop)
    try:
        pieces = await lane.run(opened.__enter__)
    except ObjectMissing:  # deleted since the look-up
        raise not_found() from None
    return _Stream(_stream(lane, opened, pieces), status, headers)


def _disposition(filename: str, name: str) -> str:
    """Content-Disposition (RFC 6266). The name that the client chose is percent-encoded (RFC 8187),
    so that only safe characters remain."""
    disposition = f'inline; filename="{filename}"'
    if not name or len(name.encode()) > LONGEST_NAME:
        return disposition
    return f"{disposition}; filename*=UTF-8''{quote(name, safe='')}"


class _Stream(StreamingResponse):
    """A response without Starlette's task that watches for a disconnect: it takes as much CPU time
    as a small file. uvicorn drops what is sent to a client that has disconnected."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.stream_response(send)


async def _stream(
    lane: Lane, opened: AbstractContextManager[Iterator[bytes]], pieces: Iterator[bytes]
) -> AsyncIterator[bytes]:
    """The bytes, read piece by piece in a lane. The object is closed there, however this ends."""
    last = lane.submit(next, pieces, None)
    try:
        while (piece := await asyncio.wrap_future(last)) is not None:
            yield piece
            last = lane.submit(next, pieces, None)
    finally:
        # Not awaited: this may be a cancelled task, and a read may still be running.
        lane.submit(_close, opened, last)


def _close(opened: AbstractContextManager[Iterator[bytes]], last: "Future[bytes | None]") -> None:
    wait([last])
    opened.__exit__(None, None, None)


def _matches(header: str, etag: str) -> bool:
    """Whether If-None-Match names this ETag; it compares weakly (RFC 9110, 13.1.2)."""
    if header.strip() == "*":
        return True
    return etag in (part.strip().removeprefix("W/") for part in header.split(","))


_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.ASCII | re.IGNORECASE)


def _range(request: Request, etag: str, total: int) -> tuple[int, int] | None:
    """The requested bytes ``[start, stop)``; empty if the object has none of them.

    None means the whole object: no Range, one that is malformed or has several parts (which a
    server may ignore), or an If-Range that names another version.
    """
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if not match or match[1] == match[2] == "" or len(match[0]) > 64:
        return None
    if request.headers.get("if-range", etag) != etag:
        return None
    if not match[1]:
        return max(0, total - int(match[2])), total if int(match[2]) else 0
    start = int(match[1])
    if match[2] and int(match[2]) < start:
        return None
    stop = min(int(match[2]) + 1, total) if match[2] else total
    return start, stop
