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
from jan_media.api.callers import GatewayOnly
from jan_media.api.errors import answer_errors
from jan_media.api.open_files import OpenFiles
from jan_media.sidecar import Sidecar
from jan_media.storage.refusals import AccessRefused


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
    app.include_router(auth.routes(sidecar))
    app.include_router(health.routes(sidecar))
    # Fixed paths below /v1/media come before those with an id in their place.
    app.include_router(uploads.routes(sidecar))
    app.include_router(direct_uploads.routes(sidecar))
    app.include_router(resolving.routes(sidecar))
    app.include_router(media.routes(sidecar))
    app.include_router(downloads.routes(sidecar))
    if sidecar.local_urls is not None:
        app.include_router(files.routes(sidecar, sidecar.local_urls))
        app.add_exception_handler(AccessRefused, files.access_refused)
    guarded: ASGIApp = app if sidecar.local_urls is None else OpenFiles(app)
    if sidecar.gateway_secret.configured:
        guarded = GatewayOnly(guarded, sidecar.gateway_secret, ("/v1/",))
    return AccessLog(guarded, sidecar.metrics, "public")
