"""What an operator sees of a running gateway: one id for a request, and the dashboard's metrics."""

import re
from collections.abc import Iterator

import httpx
import pytest

from demo.addresses import url
from demo.stack import Stack
from tests.deploy.test_monitoring import RULES, dashboard_queries
from tests.e2e.conftest import client_for, guest_token, start_stack
from tests.support.scrape import Scrape
from tests.support.waiting import wait_until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of this module's own, which sweeps all the time and whose logs are read."""
    with start_stack(tmp_path_factory.mktemp("seen"), MEDIA_SWEEP_INTERVAL="500ms") as stack:
        yield stack


@pytest.fixture(scope="module")
def guest(stack: Stack) -> Iterator[httpx.Client]:
    with client_for(stack.base_url, guest_token(stack.base_url)) as client:
        yield client


def log_of(stack: Stack, name: str) -> str:
    (part,) = [part for part in stack.parts if part.name == name]
    return part.log.read_text("utf-8", "replace")


def uploaded(guest: httpx.Client, images: str) -> str:
    source = {"type": "remote_url", "url": f"{images}/one.jpg"}
    answer = guest.post("/media/v1/media", json={"source": source, "user_id": "tester"})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def chat(guest: httpx.Client, media_id: str, **headers: str) -> httpx.Response:
    part = {"type": "image_url", "image_url": {"url": media_id}}
    body = {"model": "demo", "messages": [{"role": "user", "content": [part]}]}
    return guest.post("/v1/chat/completions", json=body, headers=headers)


def test_one_id_leads_from_the_client_to_the_model_and_the_sidecar(
    stack: Stack, guest: httpx.Client, images: str
) -> None:
    media_id = uploaded(guest, images)
    forged = {"X-Kong-Request-Id": "forged", "Traceparent": TRACE}
    answer = chat(guest, media_id, **forged)
    assert answer.status_code == 200, answer.text
    id = answer.headers["X-Kong-Request-Id"]
    assert re.fullmatch("[0-9a-f]{32}", id)

    received = guest.get("/v1/received").json()[-1]["headers"]
    told = {name.lower(): value for name, value in dict(received).items()}
    assert told["x-kong-request-id"] == id
    assert told["traceparent"] == TRACE

    asked = "internal POST /internal/resolve 200"

    def question() -> str:
        lines = [line for line in log_of(stack, "sidecar").splitlines() if f"request={id}" in line]
        return next((line for line in lines if asked in line), "")

    wait_until(lambda: question() != "")
    assert re.search(r" caller='http://localhost:\d+/llm\|guest_\w+'$", question())


def test_an_upload_and_its_fetch_have_the_id_of_the_answer(
    stack: Stack, guest: httpx.Client, images: str
) -> None:
    source = {"type": "remote_url", "url": f"{images}/secret-path/one.jpg"}
    answer = guest.post("/media/v1/media", json={"source": source})
    id = answer.headers["X-Request-Id"]
    assert id == answer.headers["X-Kong-Request-Id"]

    def lines() -> list[str]:
        return [line for line in log_of(stack, "sidecar").splitlines() if f"request={id}" in line]

    wait_until(lambda: len(lines()) == 2)
    fetch, access = lines()
    assert "fetch '127.0.0.1': ok " in fetch
    assert "POST /v1/media 200 " in access
    assert "secret-path" not in log_of(stack, "sidecar")


def test_a_sweep_has_an_id_of_its_own(stack: Stack) -> None:
    swept = re.compile(r"jan_media\.sweep swept .* request=sweep-[0-9a-f]{16}$", re.MULTILINE)
    wait_until(lambda: swept.search(log_of(stack, "sidecar")) is not None)


def test_a_normal_start_and_normal_use_write_no_error(stack: Stack, guest: httpx.Client) -> None:
    assert guest.get("/media/v1/media").status_code == 200
    logs = [part.log for part in stack.parts]
    logs += [log for part in stack.parts for log in part.extra_logs]
    lines = [
        line
        for log in logs
        if log.exists()
        for line in log.read_text("utf-8", "replace").splitlines()
    ]
    bad = re.compile(r"\bERROR\b|\[(error|crit|alert|emerg)\]|Traceback")
    assert [line for line in lines if bad.search(line)] == []


def test_the_dashboard_and_the_alerts_ask_for_metrics_that_are_there(
    stack: Stack, guest: httpx.Client, images: str
) -> None:
    chat(guest, uploaded(guest, images))
    sidecar = url(stack.ports.internal, "/metrics")
    plugin = url(stack.ports.plugin_metrics, "/metrics")
    wait_until(lambda: Scrape(sidecar).value("jan_media_sweep_seconds_count", outcome="ok") > 0)
    scraped = {"job", "instance"}
    seen: dict[str, set[str]] = {"up": scraped, "ALERTS": {"alertname", "alertstate"}}
    types = dict[str, str]()
    for scrape in (Scrape(sidecar), Scrape(plugin)):
        types |= scrape.types
        for sample in scrape.samples:
            seen.setdefault(sample.name, set(scraped)).update(sample.labels)
    for query in [*dashboard_queries(), *(rule["expr"] for rule in RULES)]:
        metrics = re.findall(r"\b((?:jan_media|process)_\w+|up|ALERTS)\b(?:\{(.*?)\})?", query)
        assert metrics, query
        for name, selectors in metrics:
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            if base in ("jan_media_rendition_seconds",):  # nothing here needs a rendition
                assert types[base] == "histogram"
                continue
            labels = set(re.findall(r"(\w+)(?:=|!)", selectors or ""))
            assert name in seen, query
            assert labels <= seen[name], query
            by = re.search(r"by \(([\w, ]+)\)", query)
            assert by is None or set(by[1].split(", ")) <= seen[name], query
