"""The console's files, with headers that allow the page only what it needs.

The gateway's routes `/` and `/console/` lead here. Pages use only relative URLs, so they work below
any path and behind https.
"""

import logging
from functools import partial
from pathlib import Path as FilePath
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jan_media.api.pages import PageFile, contents_of, page, policy_header
from jan_media.api.routes import Path
from jan_media.settings import Settings
from jan_media.sidecar import Sidecar

log = logging.getLogger("jan_media.console")

STATIC = FilePath(__file__).with_name("static")
OIDC_LIBRARY = "vendor/oauth4webapi.js"  # `make console` gets it by npm


def paths(sidecar: Sidecar) -> list[Path]:
    """The page, its files, and ``config.json``: what it must know about this installation."""
    headers = security_headers(sidecar)
    config = console_config(sidecar.settings, has_library=(STATIC / OIDC_LIBRARY).is_file())
    above = (STATIC / "index.html").read_bytes().replace(b'="./', b'="./console/')

    async def configuration(request: Request) -> Response:
        """Answer with ``config.json``."""
        return JSONResponse(config, headers=headers)

    return [
        Path("/", GET=PageFile("index.html", above, headers)),  # one folder above its files
        Path("/console/config.json", GET=configuration),
        *page("console", partial(contents_of, STATIC), headers, folder="console"),
    ]


def console_config(settings: Settings, *, has_library: bool) -> dict[str, object]:
    """What ``config.json`` holds. ``gateway`` is relative to the console's folder, or a URL.

    Without the library, people cannot sign in with a provider, so none is named.
    """
    oidc = vars(settings.console_oidc) if settings.console_oidc.issuer else None
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


def security_headers(sidecar: Sidecar) -> dict[str, str]:
    """The headers of every response of the console. They allow the origin of download URLs."""
    url = sidecar.library.storage.presign_get("0", mime="image/png", filename="0", ttl=1)
    settings, storage = sidecar.settings, _origin(url)
    others = map(_origin, (settings.console_gateway_url, settings.console_oidc.issuer))
    return policy_header(
        img_src=f"'self' blob: {storage}",
        media_src=f"blob: {storage}",
        connect_src=" ".join(["'self'", storage, *filter(None, others)]),
        # No text ever becomes markup or a script, whatever the page's code does.
        require_trusted_types_for="'script'",
        trusted_types="'none'",
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
