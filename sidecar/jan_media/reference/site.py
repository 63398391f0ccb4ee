"""The API reference at ``/docs``: Swagger UI, with the contract as clients of the gateway see it.

Swagger UI comes with the package offapi, whose files are served as they are: the page loads nothing
from elsewhere. Everything in it is named relative to it, so it works below any path.
"""

import json
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path as FilePath
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from jan_media.api.errors import error_response
from jan_media.api.pages import PageFile, answer_with, page_file, policy_header
from jan_media.api.routes import Path, contract, sidecar_of

GATEWAY = "http://localhost:8000"  # the page puts its own gateway in the place of this
HEADERS = policy_header(
    {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",  # icons in Swagger UI's style sheet
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
)
_VIEWER = {"swagger-ui.js": "swagger_bundle.js", "swagger-ui.css": "swagger_style.css"}
_HIGHLIGHTED = {"cURL": "bash", "Python": "python", "JavaScript": "javascript"}


async def without_slash(request: Request) -> Response:
    """To the page: relative, since what stands before the path is the gateway's affair."""
    return Response(status_code=307, headers={"Location": "docs/"})


async def file(request: Request) -> Response:
    """The page, or one of its files. They are read when somebody asks for the first."""
    known = await sidecar_of(request).lanes.downloads.run(page_files)
    found = known.get(request.path_params["path"] or "index.html")
    if found is None:
        return error_response("not_found", "The reference has no such file")
    return answer_with(request, found, HEADERS)


PATHS = [Path("/docs", GET=without_slash), Path("/docs/{path:path}", GET=file)]


@cache
def page_files() -> dict[str, PageFile]:
    """Every file of the page by its name."""
    contents = {
        entry.name: entry.read_bytes()
        for entry in files("jan_media.reference").joinpath("static").iterdir()
    }
    # Not imported: the package would read all its files, and make pages of them.
    viewer = find_spec("offapi")
    assert viewer is not None
    assert viewer.origin is not None
    for name, original in _VIEWER.items():
        contents[name] = FilePath(viewer.origin).with_name(original).read_bytes()
    contents["openapi.json"] = json.dumps(as_clients_see_it()).encode()
    made = {name: page_file(name, content) for name, content in contents.items()}
    return {name: file for name, file in made.items() if file is not None}


def as_clients_see_it() -> dict[str, Any]:
    """The contract with the paths that the gateway has, and with each path's examples in its
    description, where Swagger UI shows them."""
    import yaml  # only a worker that is asked loads it

    described: dict[str, Any] = yaml.safe_load(contract("openapi.yaml"))
    paths = {}
    for path, item in described["paths"].items():
        if item.get("x-internal"):
            continue
        server = item.pop("servers", described["servers"])[0]
        for operation in item.values():
            if isinstance(operation, dict):
                samples = "".join(map(_shown, operation.pop("x-codeSamples", [])))
                operation["description"] = operation.get("description", "") + samples
        paths[server["url"].rstrip("/") + path] = item
    return described | {"servers": [{"url": GATEWAY}], "paths": paths}


def _shown(sample: dict[str, str]) -> str:
    language = _HIGHLIGHTED.get(sample["lang"].partition(",")[0], "")
    code = f"```{language}\n{sample['source']}```"
    return f"\n\n<details><summary>{sample['lang']}</summary>\n\n{code}\n\n</details>"
