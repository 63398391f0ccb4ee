"""``/files``: signed downloads and direct uploads for the local storage. S3 does this by itself.

No token is required: the signature in the URL or the form is the permission. The origin does not
matter, so pages of any origin may use these paths without credentials, as they use S3.
"""

import time
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jan_media.api.bodies import RawBody
from jan_media.api.callers import client_address
from jan_media.api.download import serve
from jan_media.api.form_body import FormBody, no_file
from jan_media.api.routes import Path, sidecar_of
from jan_media.api.upload import receive, spooled
from jan_media.errors import ContentTooLarge, Refused
from jan_media.library.library import held_until
from jan_media.library.resolve import not_found
from jan_media.storage.local_urls import LocalUrls

ANY_TYPE = "application/octet-stream"  # the bytes determine the type, when the id is first used


async def download(request: Request) -> Response:
    """Read an object with a presigned URL."""
    sidecar, path = sidecar_of(request), request.path_params["key"]
    mime = _urls(request).check_url("GET", path, _query(request), time.time())
    key, _, filename = path.rpartition("/")
    total = await sidecar.lanes.downloads.run(sidecar.library.storage.size, key)
    if total is None:
        raise not_found()
    etag = key.rpartition("/")[2]  # a key's bytes never change
    return await serve(request, key, total=total, mime=mime, filename=filename, etag=etag)


async def put(request: Request) -> Response:
    """Write an object with a presigned URL."""
    sidecar, key = sidecar_of(request), request.path_params["key"]
    mime = _urls(request).check_url("PUT", key, _query(request), time.time())
    if request.headers.get("content-type") != mime:
        raise Refused("access_refused", f"Send it with Content-Type: {mime}.", "Content-Type")
    async with spooled(sidecar) as spool:
        await _receive(RawBody(request, spool), key)
    return Response(status_code=200)


async def post(request: Request) -> Response:
    """Write an object with a presigned form: all its fields, then the file."""
    sidecar = sidecar_of(request)
    async with spooled(sidecar) as spool:
        form = SignedForm(request, spool)
        # Take no slot before the policy is known to be ours.
        async for chunk in form.arriving.reads():
            form.feed(chunk)
            if form.key:
                break
        if not form.key:
            raise no_file()
        await _receive(form, form.key)
    return Response(status_code=204)


PATHS = [
    Path("/files", POST=post),
    Path("/files/{key:path}", GET=download, PUT=put),
]


def _urls(request: Request) -> LocalUrls:
    """The checker of signatures. These paths exist only with a local storage."""
    urls = sidecar_of(request).local_urls
    assert urls is not None
    return urls


async def _receive(body: RawBody, key: str) -> None:
    """Keep the file under ``key``."""
    sidecar, spool = sidecar_of(body.request), body.spool
    library = sidecar.library

    def keep() -> None:
        body.close()
        if spool.size == 0:
            raise Refused("empty_file", "The file is empty: send at least one byte", body.param)
        # A slow upload may end after a sweep dropped its key: nobody would ever delete the bytes.
        promised_until = held_until(key, library.rules.upload_ttl)
        if promised_until and library.clock() > promised_until + library.rules.hold_ms // 2:
            raise Refused("access_expired", "The upload took too long. Ask for a new one.")
        library.storage.put(key, spool.from_start(), mime=ANY_TYPE)

    try:
        await receive(sidecar, body, keep, caller=client_address(body.request))
    except ContentTooLarge as refusal:
        raise refusal.at(body.param) from None


class SignedForm(FormBody):
    """A presigned form. Its policy is checked before a byte of the file is taken."""

    known = None  # the policy names every field
    key = ""  # the file's storage key, once the policy has been checked

    def check(self, fields: Mapping[str, str]) -> None:
        """Check the fields against the policy. Raises `Refused`."""
        urls = _urls(self.request)
        self.key, self.spool.max_bytes = urls.check_post(fields, time.time())


def _query(request: Request) -> dict[str, str]:
    """The query's parameters; none if one occurs twice, which no signature allows."""
    params = request.query_params
    return dict(params) if len(params) == len(params.multi_items()) else {}


OPEN = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Content-Length, Content-Range, Accept-Ranges",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, PUT, POST",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "3600",
}


def open_to_pages(app: ASGIApp) -> ASGIApp:
    """Wrap the app with CORS below ``/files``: preflights, and headers of all responses."""

    async def opened(scope: Scope, receive: Receive, send: Send) -> None:
        async def opening(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(OPEN)
            await send(message)

        if scope["type"] != "http" or not (scope["path"] + "/").startswith("/files/"):
            await app(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=PREFLIGHT)(scope, receive, opening)
        else:
            await app(scope, receive, opening)

    return opened
