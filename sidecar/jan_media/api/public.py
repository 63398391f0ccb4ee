"""The public listener, where the gateway's routes lead. ``openapi.yaml`` describes the requests and
responses of each path."""

from starlette.types import ASGIApp

from jan_media.api import auth, download, files, health, media, resolve, signed_files, upload
from jan_media.api.access_log import AccessLog
from jan_media.api.callers import guarded
from jan_media.api.routes import Path, app, contract_paths
from jan_media.api.signed_files import open_to_pages
from jan_media.console import site as console
from jan_media.reference import site as reference
from jan_media.sidecar import Sidecar

PATHS = [
    Path("/v1/media", GET=media.list_own, POST=upload.upload),
    Path("/v1/media/prepare-upload", POST=upload.prepare_upload),
    Path("/v1/media/resolve", POST=resolve.resolve),
    Path("/v1/media/usage", GET=media.usage),
    Path("/v1/media/{id}", GET=media.info, DELETE=media.delete),
    Path("/v1/media/{id}/presign", GET=media.presign),
    Path("/v1/media/{id}/complete", POST=media.complete),
    Path("/v1/media/{id}/content", GET=download.content),
    Path("/v1/media/{id}/thumbnail", GET=download.thumbnail),
    Path("/v1/files", GET=files.list_own, POST=files.create),
    Path("/v1/files/{id}", GET=files.retrieve, DELETE=files.delete),
    Path("/v1/files/{id}/content", GET=files.content),
    Path("/auth/guest-login", POST=auth.guest_login),
    Path("/.well-known/jwks.json", GET=auth.jwks),
    Path("/healthz", GET=health.alive),
    Path("/readyz", GET=health.ready),
    *contract_paths("openapi.yaml"),
    *reference.PATHS,
]


def public_app(sidecar: Sidecar) -> ASGIApp:
    """The public listener's app."""
    served: ASGIApp = app(sidecar, paths_of(sidecar))
    if sidecar.local_urls is not None:
        served = open_to_pages(served)
    shielded = guarded(served, sidecar, sidecar.settings.listen, "/v1/")
    return AccessLog(shielded, sidecar.metrics, "public")


def paths_of(sidecar: Sidecar) -> list[Path]:
    """The paths, with those that depend on the settings."""
    paths = [*PATHS]
    if sidecar.local_urls is not None:
        paths += signed_files.PATHS
    if sidecar.settings.console:
        paths += console.paths(sidecar)
    return paths
