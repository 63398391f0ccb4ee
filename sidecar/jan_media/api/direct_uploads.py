"""``POST /v1/media/prepare-upload``: an id now, the bytes straight to the storage later."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jan_media.api import answers
from jan_media.api.bodies import SMALL_JSON, read_json, text_field, user_id
from jan_media.api.callers import owner_of
from jan_media.api.routes import sidecar_of
from jan_media.errors import Refused
from jan_media.library.direct_upload import prepare


async def prepare_upload(request: Request) -> Response:
    """Promise an id, and say where to send its bytes within the next minutes."""
    sidecar = sidecar_of(request)
    owner_of(request)  # before a byte is read
    body = await read_json(request, max_bytes=SMALL_JSON)
    owner = owner_of(request, user_id=user_id(body))
    older = body.get("content_type") is None and "mime_type" in body
    name = "mime_type" if older else "content_type"
    mime = text_field(body, name).partition(";")[0].strip().lower()
    try:
        upload = await sidecar.lanes.resolves.run(prepare, sidecar.library, mime, owner)
    except Refused as refusal:
        raise refusal.at(name) from None
    return JSONResponse(answers.prepared(upload))
