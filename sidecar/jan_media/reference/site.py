"""The API reference at ``/docs``: Swagger UI, with the contract as clients of the gateway see it.

Swagger UI comes with the package offapi, whose files are served as they are: the page loads nothing
from elsewhere. It uses only relative URLs, so it works below any path.
"""

import json
from importlib.util import find_spec
from pathlib import Path as FilePath
from typing import Any

from jan_media.api.pages import contents_of, page, policy_header
from jan_media.api.routes import contract

GATEWAY = "http://localhost:8000"  # the page replaces this by its own gateway
# The data URLs are icons in Swagger UI's style sheet.
HEADERS = policy_header(img_src="'self' data:", connect_src="'self'")
_VIEWER = {"swagger-ui.js": "swagger_bundle.js", "swagger-ui.css": "swagger_style.css"}
_HIGHLIGHTED = {"cURL": "bash", "Python": "python", "JavaScript": "javascript"}


def page_contents() -> dict[str, bytes]:
    """The contents of every file of the page, by name."""
    contents = contents_of(FilePath(__file__).with_name("static"))
    # Not imported: at import, the package reads all its files and builds pages.
    viewer = find_spec("offapi")
    assert viewer is not None
    assert viewer.origin is not None
    for name, original in _VIEWER.items():
        contents[name] = FilePath(viewer.origin).with_name(original).read_bytes()
    return contents | {"openapi.json": json.dumps(as_clients_see_it()).encode()}


def as_clients_see_it() -> dict[str, Any]:
    """The contract with the paths that the gateway has, and with each path's examples in its
    description, where Swagger UI shows them."""
    import yaml  # loaded only by a worker that needs it

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


PATHS = page("reference", page_contents, HEADERS, folder="docs")
