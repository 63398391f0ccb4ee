"""The public listener: what the gateway's routes reach."""

from fastapi import FastAPI
from starlette.types import ASGIApp

import jan_media
from jan_media.api import (
    auth,
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
from jan_media.api.direct_routes import DirectRoutes
from jan_media.api.errors import answer_errors
from jan_media.api.open_files import OpenFiles
from jan_media.sidecar import Sidecar


def public_app(sidecar: Sidecar) -> ASGIApp:
    """The public listener's app."""
    app = FastAPI(
        title="Jan Media API",
        version=jan_media.__version__,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    answer_errors(app)
    routers = [
        auth.routes(sidecar),
        health.routes(sidecar),
        # Fixed paths below /v1/media come before those with an id in their place.
        uploads.routes(sidecar),
        direct_uploads.routes(sidecar),
        resolving.routes(sidecar),
        media.routes(sidecar),
        downloads.routes(sidecar),
    ]
    if sidecar.local_urls is not None:
        routers.append(files.routes(sidecar, sidecar.local_urls))
    for router in routers:
        app.include_router(router)
    guarded: ASGIApp = DirectRoutes(app, routers)
    if sidecar.local_urls is not None:
        guarded = OpenFiles(guarded)
    if sidecar.gateway_secret.configured:
        guarded = GatewayOnly(guarded, sidecar.gateway_secret, ("/v1/",))
    elif not sidecar.settings.listen.path:  # browsers speak to no Unix socket
        guarded = ThisMachineOnly(guarded, ("/v1/",))
    return AccessLog(guarded, sidecar.metrics, "public")
