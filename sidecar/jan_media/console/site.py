"""The console's files, with headers that let the page do nothing but what it is for.

The gateway's route `/` and `/console/` lead here. Everything in a page is named relative to it, so
it works below any path and behind https.
"""

import logging
from dataclasses import asdict
from importlib.resources import files
from importlib.resources.abc import Traversable
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jan_media.api.errors import error_response
from jan_media.api.pages import PageFile, answer_with, page_file, policy_header
from jan_media.api.routes import Path
from jan_media.settings import Settings
from jan_media.sidecar import Sidecar

log = logging.getLogger("jan_media.console")

OIDC_LIBRARY = "vendor/oauth4webapi.js"  # `make console` gets it by npm


def paths(sidecar: Sidecar) -> list[Path]:
    """The page, its files, and ``config.json``: what it must know of this installation."""
    known = _files()
    headers = security_headers(sidecar.settings, storage_origin(sidecar))
    config = console_config(sidecar.settings, has_library=OIDC_LIBRARY in known)

    async def root(request: Request) -> Response:
        """The page, one folder above its files."""
        return answer_with(request, known[""], headers)

    async def without_slash(request: Request) -> Response:
        """To the page: relative, since what stands before the path is the gateway's affair."""
        return Response(status_code=307, headers={"Location": "console/"})

    async def configuration(request: Request) -> Response:
        """What the page must know."""
        return JSONResponse(config, headers=headers)

    async def file(request: Request) -> Response:
        """A file of the page."""
        found = known.get(request.path_params["path"] or "index.html")
        if found is None:
            return error_response("not_found", "The console has no such file")
        return answer_with(request, found, headers)

    return [
        Path("/", GET=root),
        Path("/console", GET=without_slash),
        Path("/console/config.json", GET=configuration),
        Path("/console/{path:path}", GET=file),
    ]


def console_config(settings: Settings, *, has_library: bool) -> dict[str, object]:
    """What ``config.json`` holds. ``gateway`` is relative to the console's folder, or a URL.

    Without the library people cannot sign in with a provider: then none is named.
    """
    oidc = asdict(settings.console_oidc) if settings.console_oidc.issuer else None
    if oidc and not has_library:
        log.warning(
            "MEDIA_CONSOLE_OIDC_ISSUER is set, and the console lacks %s: it has no button for it. "
            "Run `make console` before you build the wheel or the image",
            OIDC_LIBRARY,
        )
        oidc = None
    return {
        "gateway": settings.console_gateway_url + "/" if settings.console_gateway_url else "../",
        "guests": settings.guest_login,
        "oidc": oidc,
        "types": str(settings.allowed_types),
        "max_bytes": settings.max_bytes,
        "retention_days": settings.retention_days,
    }


def storage_origin(sidecar: Sidecar) -> str:
    """Where download URLs lead: browsers must be allowed to go there."""
    url = sidecar.library.storage.presign_get("0", mime="image/png", filename="0", ttl=1)
    return _origin(url)


def security_headers(settings: Settings, storage: str) -> dict[str, str]:
    """The headers of every answer of the console."""
    asked = ["'self'", storage]
    asked += filter(
        None, map(_origin, (settings.console_gateway_url, settings.console_oidc.issuer))
    )
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": f"'self' blob: {storage}",
        "media-src": f"blob: {storage}",
        "connect-src": " ".join(asked),
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        # No text ever becomes markup or a script, whatever the page's code does.
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return policy_header(policy)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _files() -> dict[str, PageFile]:
    """Every file of the page by its path; under "" the page as it is above its folder."""
    known: dict[str, PageFile] = {}

    def add(folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                add(entry, f"{prefix}{entry.name}/")
            elif file := page_file(entry.name, entry.read_bytes()):
                known[prefix + entry.name] = file

    add(files("jan_media.console").joinpath("static"), "")
    above = page_file("index.html", known["index.html"].content.replace(b'="./', b'="./console/'))
    assert above is not None
    known[""] = above
    return known
