"""Requests made from the descriptions of both listeners, to a running sidecar.

Whatever is sent, nothing is a 500, and every error has the one shape.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import msgpack
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.support.fuzzing import LONGEST, examples
from tests.support.sidecar import RunningSidecar, running_sidecar

EXPECTED_FROM_5XX = {"remote_fetch_failed", "remote_fetch_timeout", "service_unavailable"}
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


@pytest.mark.fuzz
@pytest.mark.timeout(LONGEST)
@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("listener", ["public_url", "internal_url"])
def test_a_listener_answers_whatever_its_description_leads_to(
    sidecar: RunningSidecar, listener: str, mode: GenerationMode
) -> None:
    described = schemathesis.openapi.from_url(f"{getattr(sidecar, listener)}/openapi.json")
    tried = 0
    for found in described.get_all_operations():
        requests = found.ok().as_strategy(generation_mode=mode)  # type: ignore[union-attr]

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
    """Send the request; hold the answer against what every answer keeps."""
    source = case.body.get("source") if isinstance(case.body, dict) else None
    if isinstance(source, dict) and "url" in source:
        source["url"] = f"http://127.0.0.1:9/{source['url']}"  # invented hosts stay uncalled
    try:
        answer = case.call()
    except (httpx.InvalidURL, ValueError):
        return  # not sent: no client could
    if answer.status_code < 400:
        return
    error = answer.json()["error"]
    assert error.keys() == {"type", "code", "message", "param"}
    assert answer.headers["content-type"] == ["application/json"]
    assert error["message"]
    if answer.status_code >= 500:
        assert error["code"] in EXPECTED_FROM_5XX, error
