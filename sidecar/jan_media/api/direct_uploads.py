"""``POST /v1/media/prepare-upload``: an id now, the bytes straight to the storage later."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jan_media.api import answers
from jan_media.api.bodies import SMALL_JSON, read_json, text_field, user_id
from jan_media.api.callers import owner_of
from jan_media.errors import Refused
from jan_media.library.direct_upload import prepare
from jan_media.sidecar import Sidecar


def routes(sidecar: Sidecar) -> APIRouter:
    """The route that prepares a direct upload."""
    router = APIRouter(tags=["upload"])

    @router.post(
        "/v1/media/prepare-upload",
        response_model=answers.PreparedUpload,
        responses=answers.errors(400, 401, 413, 415, 503),
        openapi_extra={"requestBody": REQUEST_BODY},
    )
    async def prepare_upload(request: Request) -> Response:
        """Promise an id, and say where to send its bytes within the next minutes."""
        owner_of(request, trusts_network=sidecar.trusts_network)
        body = await read_json(request, max_bytes=SMALL_JSON)
        owner = owner_of(request, trusts_network=sidecar.trusts_network, user_id=user_id(body))
        name = (
            "mime_type"
            if body.get("content_type") is None and "mime_type" in body
            else ("content_type")
        )
        mime = text_field(body, name).partition(";")[0].strip().lower()
        try:
            upload = await sidecar.lanes.resolves.run(prepare, sidecar.library, mime, owner)
        except Refused as refusal:
            raise refusal.at(name) from None
        return JSONResponse(answers.prepared(upload))

    return router


REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["content_type"],
                "properties": {
                    "content_type": {
                        "type": "string",
                        "examples": ["image/jpeg"],
                        "description": "Older clients may call it mime_type",
                    },
                    "user_id": {"type": "string", "maxLength": 256},
                },
            }
        }
    },
}
