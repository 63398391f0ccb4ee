"""``/files``: what S3 does by itself, for a local storage: signed downloads and direct uploads.

No token is asked for; the signature in the URL or the form is the permission.
"""

import time
from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from jan_media.api.bodies import Arriving, refuse_announced_size
from jan_media.api.callers import client_address
from jan_media.api.routes import Routes
from jan_media.api.serving import Served, serve
from jan_media.api.spooling import spooled
from jan_media.content.multipart import FormReader, InvalidForm
from jan_media.content.size_limit import ContentTooLarge
from jan_media.errors import Refused, too_large
from jan_media.library.keys import held_until
from jan_media.library.resolve import not_found
from jan_media.library.spool import Spool
from jan_media.sidecar import Sidecar
from jan_media.storage.interface import ObjectMissing
from jan_media.storage.local_urls import AcceptedPost, AccessExpired, LocalUrls

# The form's fields and boundaries besides the file.
FORM_OVERHEAD = 128 * 1024
ANY_TYPE = "application/octet-stream"  # what it is the bytes say, when the id is first used


def routes(sidecar: Sidecar, urls: LocalUrls) -> Routes:
    """The routes that stand for the storage service."""
    routes = Routes("files")
    library = sidecar.library
    storage = library.storage
    uploads = sidecar.uploads
    max_bytes = sidecar.settings.max_bytes

    @routes.on("GET /files/{key:path}", "HEAD /files/{key:path}")
    async def download(request: Request, key: str) -> Response:
        """Read an object with a presigned URL."""
        allowed = urls.check_get(key, _query(request), time.time())
        total = await sidecar.lanes.downloads.run(storage.size, allowed.key)
        if total is None:
            raise not_found()
        served = Served(
            total=total,
            mime=allowed.mime,
            filename=allowed.filename,
            etag=allowed.key.rpartition("/")[2],  # a key's bytes never change
            open=lambda start, stop: storage.read(allowed.key, start=start, stop=stop),
        )
        try:
            return await serve(request, sidecar.lanes.downloads, served)
        except ObjectMissing:
            raise not_found() from None

    @routes.on("PUT /files/{key:path}")
    async def put(request: Request, key: str) -> Response:
        """Write an object with a presigned URL."""
        allowed = urls.check_put(
            key, _query(request), request.headers.get("content-type"), time.time()
        )
        refuse_announced_size(request, max_bytes, max_bytes=max_bytes)
        body = Arriving(request)
        whole = await body.begin()
        async with (
            spooled(sidecar) as spool,
            uploads.taken(client_address(request), whole=whole) as body.place,
        ):
            await receive(body, spool.write, None)
            await keep(spool, allowed.key, None)
        return Response(status_code=200)

    @routes.on("POST /files")
    async def post(request: Request) -> Response:
        """Write an object with a presigned form: all its fields, then the file."""
        refuse_announced_size(request, max_bytes + FORM_OVERHEAD, max_bytes=max_bytes, param="file")
        async with spooled(sidecar) as spool:
            form = SignedForm(urls, request.headers.get("content-type", ""), spool)
            # Nobody has a place before the policy is known to be ours.
            body = Arriving(request)
            async for chunk in body.reads():
                form.feed(chunk)
                if form.allowed is not None:
                    break
            if form.allowed is None:
                raise Refused("missing_field", "The form has no part named file", "file")
            async with uploads.taken(client_address(request)) as body.place:
                await receive(body, form.feed, "file")
                allowed = form.close()
                await keep(spool, allowed.key, "file")
        return Response(status_code=204)

    async def receive(body: Arriving, take: Callable[[bytes], None], param: str | None) -> None:
        try:
            async for piece in body.pieces():
                await sidecar.lanes.uploads.run(take, piece)
        except ContentTooLarge as error:
            raise too_large(error.limit, param) from None

    async def keep(spool: Spool, key: str, param: str | None) -> None:
        if spool.size == 0:
            raise Refused("empty_file", "The file is empty: send at least one byte", param)
        # One that drips may end when a sweep has forgotten its key: the bytes would stay for good.
        promised_until = held_until(key, library.rules.upload_ttl)
        if promised_until and library.clock() > promised_until + library.rules.hold_ms // 2:
            raise AccessExpired("The upload took too long. Ask for a new one.")
        await sidecar.lanes.checks.run(
            storage.put, key, spool.from_start(), size=spool.size, mime=ANY_TYPE
        )

    return routes


class SignedForm:
    """Reads a presigned form; checks its policy before it takes a byte of the file."""

    def __init__(self, urls: LocalUrls, content_type: str, spool: Spool) -> None:
        self._urls = urls
        self._spool = spool
        self.allowed: AcceptedPost | None = None  # once the policy has been checked
        try:
            self._reader = FormReader(content_type, self._take, self._check)
        except InvalidForm as problem:
            raise Refused(problem.code, problem.message) from None

    def feed(self, piece: bytes) -> None:
        """Take the next bytes. Raises `AccessRefused`, `Refused` and `ContentTooLarge`."""
        try:
            self._reader.feed(piece)
        except InvalidForm as problem:
            raise Refused(problem.code, problem.message) from None

    def close(self) -> AcceptedPost:
        """What the policy allows, once the whole file has come and has the promised size."""
        try:
            self._reader.close()
        except InvalidForm as problem:
            raise Refused(problem.code, problem.message) from None
        assert self.allowed is not None  # there is a file, or `feed` and this have refused
        return self.allowed

    def _check(self, fields: Mapping[str, str]) -> None:
        self.allowed = self._urls.check_post(fields, time.time())

    def _take(self, piece: bytes) -> None:
        assert self.allowed is not None
        if self._spool.size + len(piece) > self.allowed.max_bytes:
            raise ContentTooLarge(self.allowed.max_bytes)
        self._spool.write(piece)


def _query(request: Request) -> dict[str, str]:
    """The query's parameters; one that is there twice becomes empty, which fits no signature."""
    params: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        params[name] = "" if name in params else value
    return params
