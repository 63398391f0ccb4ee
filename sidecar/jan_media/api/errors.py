"""Every error as ``{"error": {"type", "code", "message", "param"}}``, on every path."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from jan_media.catalog.interface import CatalogUnavailable
from jan_media.errors import Refused, TooBusy
from jan_media.storage.interface import StorageUnavailable

RETRY_AFTER = "2"  # seconds

INVALID = "invalid_request_error"
BAD_REQUEST = (400, INVALID)  # for every code that is not listed below
STATUS_AND_TYPE = {
    "unsupported_media_type": (415, INVALID),
    "unsupported_content_encoding": (415, INVALID),
    "request_timeout": (408, INVALID),
    "upload_pending": (409, INVALID),
    "gateway_secret_required": (401, "authentication_error"),
    "unauthenticated": (401, "authentication_error"),
    "not_owner": (403, "permission_error"),
    "access_refused": (403, "permission_error"),
    "access_expired": (403, "permission_error"),
    "media_not_found": (404, "not_found_error"),
    "not_found": (404, "not_found_error"),
    "method_not_allowed": (405, INVALID),
    "max_size_exceeded": (413, "size_error"),
    "quota_bytes_exceeded": (413, "size_error"),
    "quota_files_exceeded": (429, "rate_limit_error"),
    "range_not_satisfiable": (416, INVALID),
    "too_many_requests": (429, "rate_limit_error"),
    "remote_fetch_failed": (502, "api_error"),
    "service_unavailable": (503, "api_error"),
    "remote_fetch_timeout": (504, "api_error"),
    "headers_too_large": (431, INVALID),
    "internal_error": (500, "api_error"),
}


def error_response(
    code: str, message: str, param: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer for one error code, with the headers that its status requires."""
    status, kind = STATUS_AND_TYPE.get(code, BAD_REQUEST)
    fields = dict(headers or {})
    if status == 401:
        fields.setdefault("WWW-Authenticate", "Bearer")
    if code == "unsupported_content_encoding":
        fields.setdefault("Accept-Encoding", "identity")
    if status in (429, 503):
        fields.setdefault("Retry-After", RETRY_AFTER)
    error = {
        "type": kind,
        "code": code,
        "message": _encodable(message),
        "param": None if param is None else _encodable(param),
    }
    return JSONResponse({"error": error}, status, fields)


def _encodable(text: str) -> str:
    """``text`` without lone surrogates, which JSON may contain and UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode()


# What endpoints raise to refuse a request, and what Starlette raises if there is no endpoint.
EXPECTED = (
    *(Refused, TooBusy, CatalogUnavailable, StorageUnavailable, ClientDisconnect),
    HTTPException,
)


async def answer_to(request: Request, error: Exception) -> Response:
    """The response for an exception.

    It reveals nothing about an unexpected error: Starlette raises that again, and uvicorn logs it.
    """
    answer = _response_to(request, error)
    if "anthropic-version" in request.headers:  # its clients expect a type at the top, too
        answer.body = b'{"type":"error",' + bytes(answer.body)[1:]
        answer.headers["Content-Length"] = str(len(answer.body))
    return answer


def _response_to(request: Request, error: Exception) -> Response:
    match error:
        case Refused():
            return error_response(error.code, error.message, error.param)
        case TooBusy():
            return error_response("service_unavailable", str(error))
        case CatalogUnavailable() | StorageUnavailable():
            what = "catalog" if isinstance(error, CatalogUnavailable) else "storage"
            return error_response(
                "service_unavailable",
                f"The media {what} is not available right now: try again in a moment",
            )
        case ClientDisconnect():
            return error_response("invalid_body", "The request ended before its body did")
        case HTTPException(status_code=405):
            allowed = ", ".join(sorted((error.headers or {})["Allow"].split(", ")))
            message = f"{request.method} is not possible here"
            return error_response("method_not_allowed", message, headers={"Allow": allowed})
        case HTTPException():
            return error_response("not_found", "There is nothing at this path")
    return error_response(
        "internal_error", "Something went wrong on our side: try again, then report it"
    )
