"""Requests generated from the contracts of both listeners, sent to a running sidecar.

To any request, the response matches the contract, is not a 500, and has the one error shape if it
is an error.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import msgpack
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from jan_media.api.routes import contract
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.fuzzing import LONGEST, examples
from tests.support.sidecar import RunningSidecar, running_sidecar

EXPECTED_FROM_5XX = {"remote_fetch_failed", "remote_fetch_timeout", "service_unavailable"}
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
USUAL = settings(max_examples=examples(15), deadline=None, suppress_health_check=list(HealthCheck))


@schemathesis.serializer("application/msgpack")
def packed(_context: Any, value: Any) -> bytes:
    """A body of the internal listener."""
    return bytes(msgpack.packb(value, default=str, unicode_errors="surrogatepass"))


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    """A sidecar without a gateway, that logs every login in and looks no name up."""
    with running_sidecar(
        tmp_path_factory.mktemp("fuzz") / "data", REMOTE_FETCH_TIMEOUT="200ms"
    ) as running:
        yield running
        assert "Traceback" not in running.log, running.log[-3000:]


def described(name: str, base_url: str) -> Any:
    """Return a contract without what is not the sidecar's: requests to a model."""
    schema = schemathesis.openapi.from_dict(yaml.safe_load(contract(name)))
    schema.config.update(base_url=base_url)
    return schema.exclude(tag="Models")


@pytest.mark.fuzz
@pytest.mark.timeout(LONGEST)
@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("name", ["openapi.yaml", "internal.yaml"])
def test_a_listener_answers_as_its_contract_says_whatever_is_asked(
    sidecar: RunningSidecar, name: str, mode: GenerationMode
) -> None:
    urls = {"openapi.yaml": sidecar.public_url, "internal.yaml": sidecar.internal_url}
    tried = 0
    for found in described(name, urls[name]).get_all_operations():
        requests = found.ok().as_strategy(generation_mode=mode)

        @given(case=requests)
        @USUAL
        def send(case: Any) -> None:
            nonlocal tried
            tried += 1
            check(case)

        with contextlib.suppress(Unsatisfiable):  # nothing can be wrong with a GET of one path
            send()
    assert tried > 20


def check(case: Any) -> None:
    """Send the request; hold the answer against its contract, and what every answer keeps."""
    source = case.body.get("source") if isinstance(case.body, dict) else None
    if isinstance(source, dict) and "url" in source:
        source["url"] = f"http://127.0.0.1:9/{source['url']}"  # invented hosts stay uncalled
    try:
        answer = case.call()
    except (httpx.InvalidURL, ValueError):
        return  # not sent: no client could
    if answer.status_code < 400:
        case.validate_response(answer, checks=CHECKS)
        return
    error = answer.json()["error"]
    if error["code"] not in ("not_found", "method_not_allowed"):  # no longer a path of the contract
        case.validate_response(answer, checks=CHECKS)
    assert error.keys() == {"type", "code", "message", "param"}
    assert answer.headers["content-type"] == ["application/json"]
    assert error["message"]
    if answer.status_code >= 500:
        assert error["code"] in EXPECTED_FROM_5XX, error
