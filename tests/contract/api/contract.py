"""Checks every response in the tests against the contract of the public listener."""

import re
from functools import cache
from typing import Any

import httpx
import yaml
from jan_media.api.routes import contract
from jsonschema_rs import Draft202012Validator

CONTRACT: dict[str, Any] = yaml.safe_load(contract("openapi.yaml"))
NOWHERE = {"not_found", "method_not_allowed"}  # no path of the contract, or no method of its


def hold(response: httpx.Response) -> None:
    """Raises AssertionError if the contract has no such answer to such a request."""
    request = response.request
    method = "get" if request.method == "HEAD" else request.method.lower()
    operation = _item(request.url.path).get(method)
    if operation is None:
        return
    is_json = response.headers.get("content-type") == "application/json"
    if is_json and response.is_error and request.method != "HEAD":
        response.read()
        error = response.json().get("error", {})
        if error.get("code") in NOWHERE:
            return
    answers = operation["responses"]
    asked = f"{request.method} {request.url.path}"
    assert str(response.status_code) in answers, f"{asked}: no {response.status_code} in contract"
    answer = answers[str(response.status_code)]
    if "$ref" in answer:
        answer = CONTRACT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    schema = answer.get("content", {}).get("application/json", {}).get("schema")
    if schema is None or request.method == "HEAD":
        return
    response.read()
    validator = Draft202012Validator(schema | {"components": CONTRACT["components"]})
    problems = [each.message for each in validator.iter_errors(response.json())]
    assert not problems, f"{asked}: {problems}"


def _item(path: str) -> dict[str, Any]:
    """What the contract has of a path; a path of which nothing varies comes first."""
    paths: dict[str, Any] = CONTRACT["paths"]
    if path in paths:
        return dict(paths[path])
    return next((paths[each] for each in paths if _pattern(each).fullmatch(path)), {})


@cache
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(path.replace("{key}", ".+").replace("{id}", "[^/]+"))
