"""Which endpoint answers a request, by its method and path.

There are few paths, and most have no part that varies: a look in a dict finds them. FastAPI, which
describes the endpoints (`description`), finds a route by trying one after another, solves
dependencies and validates; that was most of what a request cost, and it takes 15 MiB.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from jan_media.api.errors import error_response, response_to, unexpected_response

log = logging.getLogger("jan_media.api")

# Takes the request, and what varies in the path by its name.
Endpoint = Callable[..., Awaitable[Response]]

_VARIES = re.compile(r"\{(\w+)(:path)?\}")


class Routes:
    """The endpoints of one part of the API."""

    def __init__(self, tag: str) -> None:
        """``tag`` is what the description calls the part."""
        self.tag = tag
        self.endpoints: list[tuple[str, str, Endpoint]] = []  # with method and path

    def on(self, *asked: str) -> Callable[[Endpoint], Endpoint]:
        """Let the endpoint answer these, as in ``GET /v1/media/{id}``.

        ``{id}`` stands for a part without slashes, ``{key:path}`` for the rest of the path.
        """

        def add(endpoint: Endpoint) -> Endpoint:
            for each in asked:
                method, _, path = each.partition(" ")
                self.endpoints.append((method, path, endpoint))
            return endpoint

        return add


class Routed:
    """The app that calls the endpoints, and answers what they raise and what none of them is for.

    A path that has nothing that varies comes before those that it would fit.
    """

    def __init__(self, parts: Iterable[Routes]) -> None:
        self._methods: dict[str, dict[str, Endpoint]] = {}  # by path
        for part in parts:
            for method, path, endpoint in part.endpoints:
                self._methods.setdefault(path, {})[method] = endpoint
        self._varying = [(_pattern(path), path) for path in self._methods if "{" in path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI)."""
        response = await self._answer(Request(scope, receive, send))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path, varying = self._place(request.scope["path"])
        methods = self._methods.get(path)
        if methods is None:
            return error_response("not_found", "There is nothing at this path")
        request.scope["template"] = path
        endpoint = methods.get(request.method)
        if endpoint is None:
            return error_response(
                "method_not_allowed",
                f"{request.method} is not possible here",
                headers={"Allow": ", ".join(sorted(methods))},
            )
        try:
            return await endpoint(request, **varying)
        except Exception as error:
            known = response_to(error)
            if known is None:
                log.exception("a request failed")
            return known or unexpected_response()

    def _place(self, path: str) -> tuple[str, dict[str, str]]:
        """The path as it was given to `Routes.on`, and what varies in it."""
        if path not in self._methods:
            for pattern, template in self._varying:
                if found := pattern.fullmatch(path):
                    return template, found.groupdict()
        return path, {}


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(
        _VARIES.sub(lambda part: f"(?P<{part[1]}>{'.*' if part[2] else '[^/]+'})", path), re.DOTALL
    )
