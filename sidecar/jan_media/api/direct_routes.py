"""Requests that need nothing of FastAPI but its description go straight to their endpoint.

FastAPI finds a route by trying one after another, then solves dependencies and validates; for an
endpoint that only takes the request (and the id in its path) that is most of what a request
costs. The endpoints stay registered there, so the OpenAPI description and everything unusual
(other methods, other paths, endpoints with query parameters) come from FastAPI as ever.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from jan_media.api.errors import response_to, unexpected_response

log = logging.getLogger("jan_media.api")

Endpoint = Callable[..., Awaitable[Response]]
_BEFORE_ID = "/v1/media/"


class DirectRoutes:
    """Calls the plain endpoints of some routers; hands every other request to ``app``."""

    def __init__(self, app: ASGIApp, routers: Iterable[APIRouter]) -> None:
        self._app = app
        self._endpoints: dict[tuple[str, str], Endpoint] = {}
        for router in routers:
            for route in router.routes:
                if isinstance(route, APIRoute) and _is_plain(route):
                    for method in route.methods or ():
                        self._endpoints[method, route.path] = route.endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, named = _template(scope["path"])
        endpoint = self._endpoints.get((scope["method"], path))
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        scope["template"] = path
        request = Request(scope, receive, send)
        try:
            response = await endpoint(request, **named)
        except Exception as error:
            known = response_to(request, error)
            if known is None:
                log.exception("a request failed")
            response = known or unexpected_response()
        await response(scope, receive, send)


def _is_plain(route: APIRoute) -> bool:
    """Whether the endpoint takes the request, at most the id beside it, and nothing else."""
    parameters = inspect.signature(route.endpoint).parameters.keys()
    return "request" in parameters and parameters <= {"request", "id"}


def _template(path: str) -> tuple[str, dict[str, str]]:
    """The route that a path is of, if it is, and the id in it: ``/v1/media/{id}/presign``."""
    if not path.startswith(_BEFORE_ID + "jan_"):
        return path, {}
    id, slash, rest = path[len(_BEFORE_ID) :].partition("/")
    return f"{_BEFORE_ID}{{id}}{slash}{rest}", {"id": id}
