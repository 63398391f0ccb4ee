"""Paths and their endpoints: plain Starlette, with every error in the same format.

``openapi.yaml``, beside this file, describes the requests and responses of the endpoints.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from importlib.resources import files

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from jan_media.api.errors import EXPECTED, answer_to
from jan_media.sidecar import Sidecar

Endpoint = Callable[[Request], Awaitable[Response]]


class Path(Route):
    """A path, and the endpoint of each of its methods. The GET endpoint answers HEAD too."""

    def __init__(self, path: str, **endpoints: Endpoint) -> None:
        async def by_method(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            return await endpoints[method](request)

        super().__init__(path, by_method, methods=list(endpoints))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match every method, so that Starlette refuses one that the path lacks, and names those
        that it has. The access log and the metrics read ``template``."""
        match, found = super().matches(scope)
        if match is Match.NONE:
            return match, found
        return Match.FULL, {**found, "template": self.path}


def app(sidecar: Sidecar, paths: Sequence[Path]) -> Starlette:
    """The app that calls the endpoints. If two paths match, the first is used."""
    handlers = dict.fromkeys((*EXPECTED, Exception), answer_to)
    app = Starlette(routes=paths, exception_handlers=handlers)
    app.router.redirect_slashes = False
    app.state.sidecar = sidecar
    return app


def sidecar_of(request: Request) -> Sidecar:
    """What the endpoints of this app work with."""
    sidecar: Sidecar = request.app.state.sidecar
    return sidecar


def contract_paths(name: str) -> list[Path]:
    """The paths that serve a contract: a file of this folder, as YAML and as JSON."""

    def path(ending: str, read: Callable[[str], str]) -> Path:
        async def serve(request: Request) -> Response:
            text = await sidecar_of(request).lanes.downloads.run(read, name)
            return Response(text, media_type=f"application/{ending}")

        return Path(f"/openapi.{ending}", GET=serve)

    return [path("yaml", contract), path("json", _contract_as_json)]


@cache
def contract(name: str) -> str:
    """The text of a contract: ``openapi.yaml``, or ``internal.yaml``."""
    return files("jan_media.api").joinpath(name).read_text("utf-8")


@cache
def _contract_as_json(name: str) -> str:
    import yaml  # loaded only by a worker that needs it

    return json.dumps(yaml.safe_load(contract(name)))
