"""The contracts in YAML match the routes and the errors of the code."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import jan_media
import jan_media_plugin
import pytest
import yaml
from jan_media.api import files, internal, media, resolve
from jan_media.api.errors import BAD_REQUEST, STATUS_AND_TYPE
from jan_media.api.public import paths_of
from jan_media.api.routes import Path as Route
from jan_media.api.routes import contract
from jan_media.media_id import PATTERN, new_media_id
from jan_media.settings import load_settings
from jan_media.sidecar import Sidecar

PUBLIC: dict[str, Any] = yaml.safe_load(contract("openapi.yaml"))
INTERNAL: dict[str, Any] = yaml.safe_load(contract("internal.yaml"))


def operations(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a contract has of the sidecar, by method and path; requests to a model are not."""
    return {
        f"{method.upper()} {path}": operation
        for path, item in described["paths"].items()
        for method, operation in item.items()
        if method in ("get", "post", "put", "delete") and operation.get("tags") != ["Models"]
    }


def served(paths: list[Route]) -> set[str]:
    """The same of the code. HEAD goes with GET and is not written down."""
    return {
        f"{method} {path.path_format}"
        for path in paths
        for method in path.methods or ()
        if method != "HEAD"
    }


def test_the_contract_has_every_route_of_the_public_listener_and_no_other(tmp_path: Path) -> None:
    settings = {"MEDIA_STORAGE_BACKEND": "local", "MEDIA_DATA_DIR": str(tmp_path)}
    sidecar = Sidecar(load_settings(settings))
    pages = {"GET /", "GET /console", "GET /console/config.json", "GET /console/{path}"}
    pages |= {"GET /docs", "GET /docs/{path}"}
    assert served(paths_of(sidecar)) - pages == operations(PUBLIC).keys()
    sidecar.close()


def test_the_contract_has_every_route_of_the_internal_listener_and_no_other() -> None:
    assert served(internal.PATHS) | {"GET /metrics"} == operations(INTERNAL).keys()


def test_contracts_have_the_version_of_the_code() -> None:
    assert [each["info"]["version"] for each in (PUBLIC, INTERNAL)] == [jan_media.__version__] * 2


ROW = re.compile(r"^\| (\d{3}) \| `(\w+)` \| `(\w+)` \| ", re.M)
TABLE = {
    (int(status), kind, code) for status, kind, code in ROW.findall(PUBLIC["info"]["description"])
}
CODES = {code for _, _, code in TABLE}
CALLS = r"(?:Refused|invalid_request|invalid_token|super\(\).__init__)\((?:[^()]|\([^()]*\))*\)"
REFUSAL = re.compile(rf"{CALLS}|^    code = .*", re.M)
WORD = re.compile(r"[\"`]([a-z]+(?:_[a-z0-9]+)+)[\"`]")


@pytest.mark.parametrize("code", STATUS_AND_TYPE)
def test_every_error_of_the_sidecar_is_in_the_table_with_its_status(code: str) -> None:
    assert (*STATUS_AND_TYPE[code], code) in TABLE


@pytest.mark.parametrize("package", [jan_media, jan_media_plugin])
def test_every_code_that_is_raised_is_in_the_table(package: ModuleType) -> None:
    folder = Path(str(package.__file__)).parent
    text = "\n".join(path.read_text("utf-8") for path in folder.rglob("*.py"))
    raised = {word for refusal in REFUSAL.findall(text) for word in WORD.findall(refusal)}
    fields = {"content_type", "data_url", "mime_type", "user_id", "max_bytes", "error_description"}
    kinds = {kind for _, kind, _ in TABLE}
    raised -= fields | kinds
    assert len(raised) > 10
    assert raised <= CODES
    if package is jan_media:
        assert {(*STATUS_AND_TYPE.get(code, BAD_REQUEST), code) for code in raised} <= TABLE


def test_a_code_that_every_answer_names_is_in_the_table() -> None:
    answers = PUBLIC["components"]["responses"].values()
    named = {code for answer in answers for code in WORD.findall(answer["description"])}
    assert named
    assert named <= CODES


def test_numbers_and_patterns_are_those_of_the_code() -> None:
    page = next(
        p for p in PUBLIC["paths"]["/v1/media"]["get"]["parameters"] if p["name"] == "limit"
    )
    assert (page["schema"]["maximum"], page["schema"]["default"]) == (
        media.LARGEST_PAGE,
        media.DEFAULT_PAGE,
    )
    form = PUBLIC["paths"]["/v1/files"]["post"]["requestBody"]["content"]["multipart/form-data"]
    fields = form["schema"]["properties"]
    assert tuple(fields["purpose"]["enum"]) == files.PURPOSES
    assert fields.keys() - {"file"} == files.FileForm.known
    body = PUBLIC["paths"]["/v1/media/resolve"]["post"]["requestBody"]["content"]
    ids = body["application/json"]["schema"]["oneOf"][0]["properties"]["ids"]
    assert ids["maxItems"] == resolve.MAX_IDS
    pattern = re.compile(PUBLIC["components"]["schemas"]["Id"]["pattern"])
    for text in (new_media_id(), new_media_id().upper(), "jan_x", new_media_id() + "0"):
        assert bool(pattern.fullmatch(text)) == bool(PATTERN.fullmatch(text))
