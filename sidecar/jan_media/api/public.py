"""The public listener: what the gateway's routes reach."""

from starlette.types import ASGIApp

from jan_media.api import (
    auth,
    describing,
    direct_uploads,
    downloads,
    files,
    health,
    media,
    resolving,
    uploads,
)
from jan_media.api.access_log import AccessLog
from jan_media.api.callers import GatewayOnly, ThisMachineOnly
from jan_media.api.open_files import OpenFiles
from jan_media.api.routes import Routed
from jan_media.console import site as console
from jan_media.sidecar import Sidecar


def public_app(sidecar: Sidecar) -> ASGIApp:
    """The public listener's app."""
    parts = [
        auth.routes(sidecar),
        health.routes(sidecar),
        uploads.routes(sidecar),
        direct_uploads.routes(sidecar),
        resolving.routes(sidecar),
        media.routes(sidecar),
        downloads.routes(sidecar),
    ]
    if sidecar.local_urls is not None:
        parts.append(files.routes(sidecar, sidecar.local_urls))
    pages = [console.routes(sidecar)] if sidecar.settings.console else []
    guarded: ASGIApp = Routed([*parts, *pages, describing.routes(sidecar, "Jan Media API", parts)])
    if sidecar.local_urls is not None:
        guarded = OpenFiles(guarded)
    if sidecar.gateway_secret.configured:
        guarded = GatewayOnly(guarded, sidecar.gateway_secret, ("/v1/",))
    elif not sidecar.settings.listen.path:  # browsers speak to no Unix socket
        guarded = ThisMachineOnly(guarded, ("/v1/",))
    return AccessLog(guarded, sidecar.metrics, "public")
