"""Spans of the sidecar, as a collector gets them."""

from pathlib import Path

import pytest

from tests.contract.api.client import Api
from tests.support.otlp import CLIENTS_SPAN, CLIENTS_TRACE, TRACEPARENT, collector
from tests.support.pictures import picture
from tests.support.sidecar import running_sidecar
from tests.support.waiting import wait_until


def test_a_request_and_its_work_are_part_of_the_callers_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collector() as spans:
        for name, value in spans.environment.items():
            monkeypatch.setenv(name, value)
        with running_sidecar(tmp_path, WORKERS="2") as sidecar, Api(sidecar) as api:
            headers = api.as_user("ann") | {
                "Traceparent": TRACEPARENT,
                "X-Kong-Request-Id": "0f0f",
                "Content-Type": "image/png",
            }
            answer = api.http.post("/v1/media?token=secret", content=picture(), headers=headers)
            assert answer.status_code == 200, answer.text
            wait_until(lambda: len(spans.named("POST /v1/media")) == 1)

        (request,) = spans.named("POST /v1/media")
        assert request.trace_id.hex() == CLIENTS_TRACE
        assert request.parent_span_id.hex() == CLIENTS_SPAN
        attributes = {each.key: each.value for each in request.attributes}
        assert attributes["jan.request_id"].string_value == "0f0f"
        assert attributes["http.response.status_code"].int_value == 200
        for name in ("storage put", "catalog commit_upload"):
            (work,) = spans.named(name)
            assert work.parent_span_id == request.span_id
        assert {service for service, _ in spans.spans} == {"jan-media-sidecar"}
        assert "secret" not in str(spans.spans)
