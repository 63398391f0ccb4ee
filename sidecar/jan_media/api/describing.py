"""``GET /openapi.json``: the listener's API, for people and tools."""

from collections.abc import Sequence
from functools import cache

from starlette.requests import Request
from starlette.responses import Response

from jan_media.api.routes import Routes
from jan_media.sidecar import Sidecar


def routes(sidecar: Sidecar, title: str, parts: Sequence[Routes]) -> Routes:
    """The route that describes ``parts``, under ``title``."""
    routes = Routes("description")

    @cache
    def description() -> bytes:
        # It takes 15 MiB, so only a worker that is asked loads it.
        from jan_media.api.description import described

        return described(title, parts)

    @routes.on("GET /openapi.json", "HEAD /openapi.json")
    async def describe(request: Request) -> Response:
        """The description in OpenAPI."""
        found = await sidecar.lanes.downloads.run(description)
        return Response(found, media_type="application/json")

    return routes
