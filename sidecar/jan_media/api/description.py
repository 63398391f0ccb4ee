"""The OpenAPI description of a listener, made by FastAPI, which is loaded for this alone.

An endpoint's name, docstring and path parameters are its own. What they do not say stands here.
"""

import json
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response

import jan_media
from jan_media.api.answer_models import (
    Error,
    GuestToken,
    Info,
    Page,
    PreparedUpload,
    Presigned,
    ResolvedIds,
    ResolvedPayload,
    Uploaded,
    Usage,
)
from jan_media.api.internal import MSGPACK
from jan_media.api.media import DEFAULT_PAGE, LARGEST_PAGE
from jan_media.api.resolving import MAX_IDS
from jan_media.api.routes import Routes
from jan_media.media_id import PATTERN


def described(title: str, parts: Iterable[Routes]) -> bytes:
    """The description of the endpoints, in JSON. HEAD is as GET, so it is left out."""
    app = FastAPI(title=title, version=jan_media.__version__)
    for part in parts:
        for method, path, endpoint in part.endpoints:
            if method != "HEAD":
                more = ENDPOINTS.get(f"{method} {path}", {})
                app.add_api_route(path, endpoint, methods=[method], tags=[part.tag], **more)
    return json.dumps(app.openapi()).encode()


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the error answers of an endpoint: those to expect, and the shape of all others."""
    described: dict[int | str, dict[str, Any]] = {"default": {"model": Error}}
    return described | {status: {"model": Error} for status in statuses}


def _packed(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": [next(iter(properties))], "properties": properties}
    return {"required": True, "content": {MSGPACK: {"schema": schema}}}


_ASKED_IDS: dict[str, Any] = {
    "ids": {"type": "array", "items": {"type": "string"}},
    "as": {"enum": ["url", "data_url"]},
    "max_bytes": {"type": "integer", "description": "The largest file to send as a data URL"},
}
_ASKED_KEY: dict[str, Any] = {"key": {"type": "string"}}

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_UPLOAD: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["source"],
                "properties": {
                    "source": {
                        "oneOf": [
                            {
                                "type": "object",
                                "required": ["type", "url"],
                                "properties": {
                                    "type": {"const": "remote_url"},
                                    "url": {"type": "string", "format": "uri"},
                                },
                            },
                            {
                                "type": "object",
                                "required": ["type", "data_url"],
                                "properties": {
                                    "type": {"const": "data_url"},
                                    "data_url": {
                                        "type": "string",
                                        "description": "data:<type>;base64,<content>",
                                    },
                                },
                            },
                        ]
                    },
                    "user_id": {"type": "string", "maxLength": 256},
                },
            }
        },
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary"},
                    "user_id": {"type": "string", "maxLength": 256},
                },
            }
        },
        "image/*": _BINARY,
        "application/octet-stream": _BINARY,
    },
}
_PREPARE: dict[str, Any] = {
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
_RESOLVE: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "oneOf": [
                    {
                        "type": "object",
                        "required": ["ids"],
                        "properties": {
                            "ids": {
                                "type": "array",
                                "items": {"type": "string", "pattern": PATTERN.pattern},
                                "minItems": 1,
                                "maxItems": MAX_IDS,
                            }
                        },
                    },
                    {
                        "type": "object",
                        "required": ["payload"],
                        "properties": {"payload": {"description": "Any JSON"}},
                    },
                ]
            }
        }
    },
}
_PAGE: list[dict[str, Any]] = [
    {
        "name": "limit",
        "in": "query",
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": LARGEST_PAGE,
            "default": DEFAULT_PAGE,
        },
    },
    {
        "name": "after",
        "in": "query",
        "description": "The next of an earlier page",
        "schema": {"type": "string", "default": ""},
    },
]

ENDPOINTS: dict[str, dict[str, Any]] = {
    "POST /auth/guest-login": {
        "status_code": 201,
        "response_model": GuestToken,
        "responses": _errors(404, 429),
    },
    "POST /v1/media": {
        "response_model": Uploaded,
        "responses": _errors(400, 401, 413, 415, 429, 502, 503, 504),
        "openapi_extra": {"requestBody": _UPLOAD},
    },
    "GET /v1/media": {
        "response_model": Page,
        "responses": _errors(400),
        "openapi_extra": {"parameters": _PAGE},
    },
    "POST /v1/media/prepare-upload": {
        "response_model": PreparedUpload,
        "responses": _errors(400, 401, 413, 415, 429, 503),
        "openapi_extra": {"requestBody": _PREPARE},
    },
    "POST /v1/media/resolve": {
        "response_model": ResolvedIds | ResolvedPayload,
        "responses": _errors(400, 401, 404, 409, 413, 415, 503),
        "openapi_extra": {"requestBody": _RESOLVE},
    },
    "GET /v1/media/usage": {"response_model": Usage, "responses": _errors(401, 503)},
    "GET /v1/media/{id}": {"response_model": Info, "responses": _errors(404, 409)},
    "GET /v1/media/{id}/presign": {"response_model": Presigned, "responses": _errors(404, 409)},
    "POST /v1/media/{id}/complete": {
        "response_model": Info,
        "responses": _errors(400, 404, 409, 413, 415, 429),
    },
    "DELETE /v1/media/{id}": {
        "status_code": 204,
        "response_class": Response,
        "responses": _errors(403, 404),
    },
    "GET /v1/media/{id}/thumbnail": {
        "response_class": Response,
        "responses": {
            200: {"content": {"image/*": {}}},
            206: {"description": "A range of the bytes"},
            304: {"description": "Not modified"},
            **_errors(400, 404, 409, 416, 503),
        },
    },
    "GET /v1/media/{id}/content": {
        "response_class": Response,
        "responses": {
            200: {"content": {"image/*": {}}},
            206: {"description": "A range of the bytes"},
            302: {"description": "Where the bytes are, with MEDIA_PROXY_DOWNLOAD=false"},
            304: {"description": "Not modified"},
            **_errors(404, 409, 416),
        },
    },
    "GET /files/{key:path}": {"response_class": Response, "responses": _errors(403, 404, 416)},
    "PUT /files/{key:path}": {"response_class": Response, "responses": _errors(403, 413)},
    "POST /files": {
        "status_code": 204,
        "response_class": Response,
        "responses": _errors(400, 403, 413),
    },
    "POST /internal/resolve": {
        "response_class": Response,
        "openapi_extra": {"requestBody": _packed(_ASKED_IDS)},
    },
    "POST /internal/keys/verify": {
        "response_class": Response,
        "openapi_extra": {"requestBody": _packed(_ASKED_KEY)},
    },
    "GET /metrics": {"response_class": Response},
}
