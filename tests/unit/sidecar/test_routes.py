"""Which endpoint is called for a method and path."""

import asyncio
import json
from typing import Any

import pytest
from jan_media.api.routes import Routed, Routes
from starlette.requests import Request
from starlette.responses import Response

media, files = Routes("media"), Routes("files")


def answering(name: str, *asked: str, of: Routes = media) -> None:
    async def endpoint(request: Request, **varying: str) -> Response:
        return Response(json.dumps([name, varying]))

    of.on(*asked)(endpoint)


answering("one", "GET /media/{id}")
answering("its bytes", "GET /media/{id}/content", "HEAD /media/{id}/content")
answering("all", "GET /media")
answering("taken", "POST /media")
answering("many", "POST /media/resolve")
answering("gone", "DELETE /media/{id}")
answering("file", "GET /files/{key:path}", of=files)


@media.on("GET /broken")
async def broken(request: Request) -> Response:
    raise ZeroDivisionError


def ask(method: str, path: str) -> tuple[int, Any, dict[str, str], str]:
    """Status, body, headers, and the path as it is counted."""
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("no endpoint here reads a body")

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "headers": []}
    asyncio.run(Routed([media, files])(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    counted = scope.get("template", "other")
    return sent[0]["status"], json.loads(sent[1]["body"]), headers, counted


@pytest.mark.parametrize(
    ("method", "path", "called", "counted"),
    [
        ("GET", "/media", ["all", {}], "/media"),
        ("POST", "/media", ["taken", {}], "/media"),
        ("GET", "/media/a", ["one", {"id": "a"}], "/media/{id}"),
        ("GET", "/media/a\n", ["one", {"id": "a\n"}], "/media/{id}"),
        ("DELETE", "/media/a", ["gone", {"id": "a"}], "/media/{id}"),
        ("GET", "/media/a/content", ["its bytes", {"id": "a"}], "/media/{id}/content"),
        ("HEAD", "/media/a/content", ["its bytes", {"id": "a"}], "/media/{id}/content"),
        ("POST", "/media/resolve", ["many", {}], "/media/resolve"),
        ("GET", "/files/a/b", ["file", {"key": "a/b"}], "/files/{key:path}"),
        ("GET", "/files/", ["file", {"key": ""}], "/files/{key:path}"),
    ],
)
def test_the_endpoint_gets_what_varies_in_the_path(
    method: str, path: str, called: list[Any], counted: str
) -> None:
    assert ask(method, path)[::3] == (200, counted)
    assert ask(method, path)[1] == called


@pytest.mark.parametrize(
    "path", ["", "/", "/media/", "/media/a/b", "/media/a/content/", "//media", "/Media", "/files"]
)
def test_a_path_of_no_endpoint_is_not_found(path: str) -> None:
    status, body, _, counted = ask("GET", path)
    assert (status, body["error"]["code"], counted) == (404, "not_found", "other")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/media", "GET, POST"),
        ("GET", "/media/resolve", "POST"),
        ("POST", "/media/a/content", "GET, HEAD"),
        ("HEAD", "/media/a", "DELETE, GET"),
    ],
)
def test_another_method_is_refused_and_all_that_are_possible_are_named(
    method: str, path: str, allowed: str
) -> None:
    status, body, headers, _ = ask(method, path)
    assert (status, body["error"]["code"]) == (405, "method_not_allowed")
    assert headers["allow"] == allowed


def test_what_nobody_expected_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    status, body, _, _ = ask("GET", "/broken")
    assert (status, body["error"]["code"]) == (500, "internal_error")
    assert "ZeroDivisionError" in caplog.text
