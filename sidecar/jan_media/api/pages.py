"""Web pages: their files, compressed once, and not sent again while they are unchanged (ETag)."""

import gzip
import hashlib
from collections.abc import Callable, Mapping
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
# Headers of every response of a page, besides its Content-Security-Policy.
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # a new version is seen at once; usually the answer is a 304
    "Vary": "Accept-Encoding",
}


class PageFile:
    """The endpoint of one file, whose name must have an extension of `_TYPES`."""

    def __init__(self, name: str, content: bytes, headers: Mapping[str, str]) -> None:
        self._content = content
        self._packed = gzip.compress(content, mtime=0)
        self._etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        kind = _TYPES[PurePath(name).suffix]
        self._headers = {**headers, "ETag": self._etag, "Content-Type": kind}

    async def __call__(self, request: Request) -> Response:
        """Answer a GET or HEAD."""
        if self._etag in request.headers.get("if-none-match", "").replace("W/", ""):
            return Response(status_code=304, headers=self._headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self._packed, headers=self._headers | {"Content-Encoding": "gzip"})
        return Response(self._content, headers=self._headers)


def page(
    name: str,
    contents: Callable[[], Mapping[str, bytes]],
    headers: Mapping[str, str],
    *,
    folder: str,
) -> list[Path]:
    """The paths of a page in ``folder``: its files by name, and ``index.html`` without one.

    ``contents`` is called at the first request. Error messages call the page ``name``.
    """

    @cache
    def files() -> dict[str, PageFile]:
        return {
            path: PageFile(path, content, headers)
            for path, content in contents().items()
            if PurePath(path).suffix in _TYPES
        }

    async def without_slash(request: Request) -> Response:
        """A redirect to the page: relative, since only the gateway knows the path's prefix."""
        return Response(status_code=307, headers={"Location": f"{folder}/"})

    async def file(request: Request) -> Response:
        """The page, or one of its files."""
        known = await sidecar_of(request).lanes.downloads.run(files)
        found = known.get(request.path_params["path"] or "index.html")
        if found is None:
            return error_response("not_found", f"The {name} has no such file")
        return await found(request)

    return [Path(f"/{folder}", GET=without_slash), Path(f"/{folder}/{{path:path}}", GET=file)]


def contents_of(folder: FilePath) -> dict[str, bytes]:
    """The contents of all files below a folder, by their relative paths."""
    found = (each for each in folder.rglob("*") if each.is_file())
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in found}


def policy_header(**sources: str) -> dict[str, str]:
    """A Content-Security-Policy that allows only the page's own scripts and styles, and no framing;
    and `SAFE_HEADERS`. ``sources`` are further directives, such as ``img_src``."""
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
