"""Web pages: their files, compressed once, and not sent again while they are unchanged (ETag)."""

import gzip
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path as FilePath
from pathlib import PurePath

from starlette.requests import Request
from starlette.responses import Response

from jan_media.api.errors import error_response
from jan_media.api.routes import Path, sidecar_of

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


def page(
    name: str,
    contents: Callable[[], Mapping[str, bytes]],
    headers: Mapping[str, str],
    *,
    folder: str,
) -> list[Path]:
    """The paths of a page in ``folder``: its files by their names, and ``index.html`` for none.

    ``contents`` is called when somebody asks for the first. ``name`` is what errors call the page.
    """

    @cache
    def files() -> dict[str, PageFile]:
        return {
            path: page_file(path, content)
            for path, content in contents().items()
            if PurePath(path).suffix in _TYPES
        }

    async def without_slash(request: Request) -> Response:
        """To the page: relative, since what stands before the path is the gateway's affair."""
        return Response(status_code=307, headers={"Location": f"{folder}/"})

    async def file(request: Request) -> Response:
        """The page, or one of its files."""
        known = await sidecar_of(request).lanes.downloads.run(files)
        found = known.get(request.path_params["path"] or "index.html")
        if found is None:
            return error_response("not_found", f"The {name} has no such file")
        return answer_with(request, found, headers)

    return [Path(f"/{folder}", GET=without_slash), Path(f"/{folder}/{{path:path}}", GET=file)]


def contents_of(folder: FilePath) -> dict[str, bytes]:
    """What all files below a folder hold, by their paths from there."""
    found = (each for each in folder.rglob("*") if each.is_file())
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in found}


def page_file(name: str, content: bytes) -> PageFile:
    """The file; its name has an ending that pages use."""
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return PageFile(content, gzip.compress(content, mtime=0), _TYPES[PurePath(name).suffix], etag)


def answer_with(request: Request, file: PageFile, headers: Mapping[str, str]) -> Response:
    """Answer a GET or HEAD for the file."""
    headers = {**headers, "ETag": file.etag, "Content-Type": file.kind}
    if file.etag in request.headers.get("if-none-match", "").replace("W/", ""):
        return Response(status_code=304, headers=headers)
    content = file.content
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        content = file.packed
    return Response(content, headers=headers)


def policy_header(**sources: str) -> dict[str, str]:
    """The Content-Security-Policy of a page whose scripts and styles are its own, and that nobody
    frames, beside `SAFE_HEADERS`. ``sources`` are further directives, as ``img_src``."""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        **{name.replace("_", "-"): value for name, value in sources.items()},
    }
    text = "; ".join(f"{name} {value}".strip() for name, value in policy.items())
    return {"Content-Security-Policy": text, **SAFE_HEADERS}
