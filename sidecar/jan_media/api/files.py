"""``/v1/files``: the caller's own media, as the SDKs of OpenAI and Anthropic ask for files.

A file id is a media id. The two APIs differ in field names and in paging. A request with the header
``anthropic-version`` gets Anthropic's form, every other one OpenAI's.
"""

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jan_media.api.bodies import content_type, number_between, refuse_content_encoding
from jan_media.api.callers import owner_of
from jan_media.api.download import send_bytes
from jan_media.api.form_body import FormBody
from jan_media.api.media import cursor_of, iso_time, page_size, parse_cursor
from jan_media.api.ready_media import known_id, one_ready
from jan_media.api.routes import sidecar_of
from jan_media.api.upload import take_in
from jan_media.catalog.interface import Claim, Owned, Page
from jan_media.errors import Refused
from jan_media.library.ingest import FileDetails
from jan_media.library.library import Library
from jan_media.library.resolve import Found, filename, not_found
from jan_media.library.sweep import give_up
from jan_media.media_id import parse_media_id

PURPOSES = ("vision", "user_data")
LARGEST_PAGE = 1000
OPENAI_LIMIT = 10_000  # OpenAI's largest; a page here may be smaller, and `has_more` says so
ANTHROPIC_PAGE = 20
MOST_IDS = 100
HOUR, DAY = 3600, 86_400  # seconds


async def create(request: Request) -> Response:
    """Keep a file for the caller."""
    settings, owner = sidecar_of(request).settings, owner_of(request)  # before a byte is read
    refuse_content_encoding(request)
    if content_type(request) != "multipart/form-data":
        raise Refused(
            "unsupported_media_type", "Send multipart/form-data, with the file in the part file"
        )
    allowed = settings.allowed_types | settings.file_types
    kept = await take_in(request, FileForm, allowed=allowed)
    claim = await _claim(request, kept.media.id, owner)
    return JSONResponse(_described(request, Owned(kept.media, claim)))


async def list_own(request: Request) -> Response:
    """The caller's files, newest first unless asked otherwise."""
    sidecar, owner = sidecar_of(request), owner_of(request)
    listed = _anthropic_list if _speaks_anthropic(request) else _openai_list
    return JSONResponse(
        # A page may take long, so it runs outside the lane that chats wait for.
        await sidecar.lanes.downloads.run(listed, sidecar.library, owner, request.query_params)
    )


async def retrieve(request: Request) -> Response:
    """The description of one of the caller's files."""
    found, claim = await _own(request)
    return JSONResponse(_described(request, Owned(found.media, claim)))


async def content(request: Request) -> Response:
    """The bytes of one of the caller's files, under the name that the caller gave it."""
    found, claim = await _own(request)
    return await send_bytes(request, found, name=claim.name)


async def delete(request: Request) -> Response:
    """Give up the caller's claim; the file is deleted with the last claim."""
    sidecar, owner = sidecar_of(request), owner_of(request)
    media_id = known_id(request.path_params["id"])
    await _claim(request, media_id, owner)
    await sidecar.lanes.uploads.run(give_up, sidecar.library, media_id, owner)
    if _speaks_anthropic(request):
        return JSONResponse({"id": media_id, "type": "file_deleted"})
    return JSONResponse({"id": media_id, "object": "file", "deleted": True})


async def _own(request: Request) -> tuple[Found, Claim]:
    """The caller's file at this path. Raises `Refused` (``media_not_found``) if there is none."""
    owner = owner_of(request)
    media_id = known_id(request.path_params["id"])
    claim = await _claim(request, media_id, owner)
    return await one_ready(sidecar_of(request), media_id), claim


async def _claim(request: Request, media_id: str, owner: str) -> Claim:
    sidecar = sidecar_of(request)
    claim = await sidecar.lanes.resolves.run(sidecar.library.claim_of, media_id, owner)
    if claim is None:
        raise not_found()
    return claim


# --- the fields of a form besides the file


class FileForm(FormBody):
    """A form with a file, its purpose, and how long to keep it, in the fields of either API."""

    known = frozenset(
        {"purpose", "expires_after[anchor]", "expires_after[seconds]", "expires_in_seconds"}
    )

    def check(self, fields: Mapping[str, str]) -> None:
        """Check the fields before the file is read. Raises `Refused`."""
        _details(fields)

    def close(self) -> dict[str, Any]:
        fields = super().close()
        self.details = _details(fields, self.details.name)
        return {}


def _details(fields: Mapping[str, str], name: str = "") -> FileDetails:
    purpose = fields.get("purpose", "")
    if purpose not in ("", *PURPOSES):
        raise Refused(
            "invalid_field",
            f"purpose must be {' or '.join(PURPOSES)}: files here are media for requests to a "
            "model. Send files for other purposes to the API of your model's provider",
            "purpose",
        )
    anchor, after = "expires_after[anchor]", "expires_after[seconds]"
    if fields.get(anchor, "created_at") != "created_at":
        raise Refused("invalid_field", f"{anchor} must be created_at", anchor)
    if anchor in fields and after not in fields:
        raise Refused("missing_field", f"{after} is required", after)
    for field, days in ((after, 30), ("expires_in_seconds", 90)):
        if field in fields:
            lifetime = number_between(HOUR, days * DAY, fields[field], at=field, unit=" seconds")
            return FileDetails(name, purpose, lifetime * 1000)
    return FileDetails(name, purpose)


# --- how a file and a list look in each API


def _speaks_anthropic(request: Request) -> bool:
    return "anthropic-version" in request.headers


def _described(request: Request, own: Owned) -> dict[str, Any]:
    return _anthropic_file(own) if _speaks_anthropic(request) else _openai_file(own)


def _openai_file(own: Owned) -> dict[str, Any]:
    return {
        "id": own.media.id,
        "object": "file",
        "bytes": own.media.bytes,
        "created_at": own.claim.created_at // 1000,
        "expires_at": own.expires_at // 1000,
        "filename": own.claim.name or filename(own.media),
        "purpose": own.purpose,
        "status": "processed",
        "status_details": None,
    }


def _anthropic_file(own: Owned) -> dict[str, Any]:
    return {
        "id": own.media.id,
        "type": "file",
        "filename": own.claim.name or filename(own.media),
        "mime_type": own.media.mime,
        "size_bytes": own.media.bytes,
        "created_at": iso_time(own.claim.created_at, precise=True),
        "expires_at": iso_time(own.expires_at, precise=True),
        "downloadable": True,
    }


def _openai_list(library: Library, owner: str, asked: QueryParams) -> dict[str, Any]:
    limit = page_size(asked, OPENAI_LIMIT, OPENAI_LIMIT)
    order, purpose, after = (asked.get(each, "") for each in ("order", "purpose", "after"))
    if order not in ("", "asc", "desc"):
        raise Refused("invalid_field", "order must be asc or desc", "order")
    part = Page([], more=False)
    if purpose in ("", *PURPOSES):
        part = library.catalog.list_owned(
            owner,
            now=library.clock(),
            limit=min(limit, LARGEST_PAGE),
            after=parse_cursor(library, after, owner, "after") if after else None,
            oldest_first=order == "asc",
            purpose=purpose,
        )
    return {"object": "list", "data": [_openai_file(each) for each in part.items], **_ends(part)}


def _anthropic_list(library: Library, owner: str, asked: QueryParams) -> dict[str, Any]:
    """A page, with the cursors of both generations of the SDK: `page`, or `after_id` and
    `before_id`. A scope, such as a session, has no files here."""
    limit = page_size(asked, ANTHROPIC_PAGE, LARGEST_PAGE)
    ids = _ids([*asked.getlist("ids"), *asked.getlist("ids[]")])
    before, after = asked.get("before_id", ""), asked.get("after_id", "")
    cursor, param = asked.get("page", "").removeprefix("page_"), "page"
    if before or after:
        cursor, param = (before, "before_id") if before else (after, "after_id")
    if bool(before) + bool(after) + ("page" in asked) > 1:
        raise Refused("invalid_field", "Send one of page, after_id and before_id", param)
    part = Page([], more=False)
    if not asked.get("scope_id"):
        part = library.catalog.list_owned(
            owner,
            now=library.clock(),
            limit=limit,
            after=parse_cursor(library, cursor, owner, param) if cursor else None,
            oldest_first=bool(before),
            ids=ids,
        )
    if before:
        part = Page(part.items[::-1], part.more)
    goes_on = part.more and not before
    return {
        "data": [_anthropic_file(each) for each in part.items],
        **_ends(part),
        "next_page": f"page_{cursor_of(part.items[-1])}" if goes_on else None,
    }


def _ids(given: list[str]) -> list[str] | None:
    """The canonical ids that a list is restricted to. Invalid ids are dropped: no file has them."""
    if len(set(given)) > MOST_IDS:
        raise Refused("invalid_field", f"ids may be at most {MOST_IDS}", "ids")
    ids = (parse_media_id(each) for each in given)
    return [id for id in ids if id is not None] if given else None


def _ends(part: Page) -> dict[str, Any]:
    ids = [each.media.id for each in part.items]
    return {
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": part.more,
    }
