"""The endpoint for each method and path, and the answer if there is none."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import httpx
import pytest
from jan_media.api.routes import Endpoint, Path, app
from jan_media.settings import load_settings
from jan_media.sidecar import Sidecar
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send


def endpoint(name: str) -> Endpoint:
    async def answer(request: Request) -> Response:
        return JSONResponse([name, request.path_params])

    return answer


async def broken(request: Request) -> Response:
    raise ZeroDivisionError


PATHS = [
    Path("/media", GET=endpoint("all"), POST=endpoint("taken")),
    Path("/media/resolve", POST=endpoint("many")),
    Path("/media/{id}", GET=endpoint("one"), DELETE=endpoint("gone")),
    Path("/media/{id}/content", GET=endpoint("its bytes")),
    Path("/files/{key:path}", GET=endpoint("file")),
    Path("/broken", GET=broken),
]


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, and the path as it is counted."""

    status: int
    json: Any
    headers: httpx.Headers
    counted: str
    raised: list[Exception]


Ask = Callable[[str, str], Answered]


@pytest.fixture
def ask(tmp_path: FilePath) -> Iterator[Ask]:
    """Sends a request, method and path, to an app of these paths."""
    settings = {"MEDIA_STORAGE_BACKEND": "local", "MEDIA_DATA_DIR": str(tmp_path)}
    sidecar = Sidecar(load_settings(settings))
    routed = app(sidecar, PATHS)

    def send(method: str, path: str) -> Answered:
        scopes: list[Scope] = []
        raised: list[Exception] = []

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            scopes.append(scope)
            try:
                await routed(scope, receive, send)
            except Exception as error:
                raised.append(error)

        async def request() -> httpx.Response:
            transport = httpx.ASGITransport(watched)
            async with httpx.AsyncClient(transport=transport, base_url="http://sidecar") as http:
                return await http.request(method, path)

        answer = asyncio.run(request())
        body = answer.json() if answer.content else None
        counted = scopes[0].get("template", "other")
        return Answered(answer.status_code, body, answer.headers, counted, raised)

    yield send
    sidecar.close()


@pytest.mark.parametrize(
    ("method", "path", "called", "counted"),
    [
        ("GET", "/media", ["all", {}], "/media"),
        ("POST", "/media", ["taken", {}], "/media"),
        ("GET", "/media/a", ["one", {"id": "a"}], "/media/{id}"),
        ("GET", "/media/a%0A", ["one", {"id": "a\n"}], "/media/{id}"),
        ("DELETE", "/media/a", ["gone", {"id": "a"}], "/media/{id}"),
        ("GET", "/media/a/content", ["its bytes", {"id": "a"}], "/media/{id}/content"),
        ("POST", "/media/resolve", ["many", {}], "/media/resolve"),
        ("GET", "/files/a/b", ["file", {"key": "a/b"}], "/files/{key:path}"),
        ("GET", "/files/", ["file", {"key": ""}], "/files/{key:path}"),
    ],
)
def test_the_endpoint_gets_what_varies_in_the_path(
    ask: Ask, method: str, path: str, called: list[object], counted: str
) -> None:
    answer = ask(method, path)
    assert (answer.status, answer.json, answer.counted) == (200, called, counted)


@pytest.mark.parametrize("path", ["/media", "/media/a", "/media/a/content", "/files/a"])
def test_where_there_is_get_there_is_head(ask: Ask, path: str) -> None:
    assert ask("HEAD", path).status == 200


@pytest.mark.parametrize(
    "path", ["/", "/media/", "/media/a/b", "/media/a/content/", "/other//media", "/Media", "/files"]
)
def test_a_path_of_no_endpoint_is_not_found(ask: Ask, path: str) -> None:
    answer = ask("GET", path)
    assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")
    assert answer.counted == "other"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/media", "GET, HEAD, POST"),
        ("GET", "/media/resolve", "POST"),
        ("POST", "/media/a/content", "GET, HEAD"),
        ("PUT", "/media/a", "DELETE, GET, HEAD"),
    ],
)
def test_another_method_is_refused_and_all_that_are_possible_are_named(
    ask: Ask, method: str, path: str, allowed: str
) -> None:
    answer = ask(method, path)
    assert (answer.status, answer.json["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


def test_what_nobody_expected_is_raised_to_be_logged_and_not_told(ask: Ask) -> None:
    answer = ask("GET", "/broken")
    assert (answer.status, answer.json["error"]["code"]) == (500, "internal_error")
    assert "ZeroDivisionError" not in str(answer.json)
    assert [type(error) for error in answer.raised] == [ZeroDivisionError]
