"""Files of web pages: compressed once, and not sent again while they are unchanged (ETag)."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import PurePath

from starlette.requests import Request
from starlette.responses import Response

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
# Headers of every answer of a page, beside its Content-Security-Policy.
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # a new version is seen at once; usually the answer is a 304
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of a page, as it is sent."""

    content: bytes
    packed: bytes  # gzip
    kind: str
    etag: str


def page_file(name: str, content: bytes) -> PageFile | None:
    """The file, if its name has an ending that pages use; None if not."""
    kind = _TYPES.get(PurePath(name).suffix)
    if kind is None:
        return None
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return PageFile(content, gzip.compress(content, mtime=0), kind, etag)


def answer_with(request: Request, file: PageFile, headers: dict[str, str]) -> Response:
    """Answer a GET or HEAD for the file."""
    headers = headers | {"ETag": file.etag, "Content-Type": file.kind}
    if file.etag in request.headers.get("if-none-match", "").replace("W/", ""):
        return Response(status_code=304, headers=headers)
    content = file.content
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        content = file.packed
    return Response(content, headers=headers)


def policy_header(policy: dict[str, str]) -> dict[str, str]:
    """The Content-Security-Policy of these directives, beside `SAFE_HEADERS`."""
    text = "; ".join(f"{name} {value}".strip() for name, value in policy.items())
    return {"Content-Security-Policy": text, **SAFE_HEADERS}
