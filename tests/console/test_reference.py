"""The API reference, as developers of clients use it."""

import re
from typing import Any, Literal

import httpx
import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from demo.stack import Stack
from tests.console.acts import faults
from tests.e2e.conftest import guest_token


@pytest.fixture
def reference(page: Page) -> Page:
    """The page, drawn."""
    said: list[ConsoleMessage] = []

    def hear(message: ConsoleMessage) -> None:
        said.append(message)

    page.on("console", hear)
    page.goto("/docs")
    page.get_by_role("link", name="Errors", exact=True).wait_for()
    assert [each.text for each in said if each.type == "error"] == []
    return page


def described(stack: Stack) -> dict[str, Any]:
    """What the page shows."""
    answer = httpx.get(f"{stack.base_url}/docs/openapi.json", trust_env=False)
    return dict(answer.raise_for_status().json())


def test_it_shows_every_endpoint_under_the_path_that_clients_call(
    reference: Page, stack: Stack
) -> None:
    shown = reference.locator(".opblock-summary-path")
    paths = [text.replace("\u200b", "") for text in shown.all_text_contents()]
    operations = [
        path
        for path, item in described(stack)["paths"].items()
        for method in item
        if method in ("get", "post", "put", "delete")
    ]
    assert sorted(paths) == sorted(operations)
    assert "/media/v1/media/prepare-upload" in paths


def test_every_path_that_it_shows_leads_somewhere(stack: Stack) -> None:
    with httpx.Client(base_url=stack.base_url, trust_env=False) as client:
        for path in described(stack)["paths"]:
            answer = client.get(path.replace("{", "").replace("}", ""))
            assert "route_not_found" not in answer.text, path
            assert answer.status_code < 500, path


def test_it_tells_of_ids_in_requests_to_a_model_of_errors_and_of_limits(reference: Page) -> None:
    for name in ("Ids in requests to a model", "SDKs", "Limits", "Errors", "Upload", "Models"):
        expect(reference.get_by_role("link", name=name, exact=True).first).to_be_visible()
    for text in ("messages[0].content[1].image_url.url", "X-Jan-Media", "quota_bytes_exceeded"):
        expect(reference.get_by_text(text).first).to_be_visible()


def test_its_examples_name_this_gateway(reference: Page, stack: Stack) -> None:
    operation = reference.locator("#operations-Upload-upload")
    operation.get_by_role("button", name="Upload a file").click()
    for language in ("cURL", "Python", "JavaScript"):
        operation.get_by_text(language, exact=True).click()
    examples = operation.locator("details pre").all_text_contents()
    assert len(examples) == 4
    for example in examples[:3]:
        assert f"{stack.base_url}/media/v1/media" in example
    assert "localhost:8000" not in reference.inner_text("main")


def test_a_request_can_be_tried_from_it(reference: Page, stack: Stack) -> None:
    reference.get_by_role("button", name="Authorize").click()
    reference.get_by_label("auth-bearer-value").fill(guest_token(stack.base_url))
    reference.get_by_role("button", name="Apply credentials").first.click()
    reference.get_by_role("button", name="Close").first.click()
    reference.get_by_text("See how much you keep").click()
    operation = reference.locator("#operations-Media-usage")
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text('"quota_bytes": 1073741824')


def test_a_link_in_it_leads_to_what_it_names(reference: Page) -> None:
    reference.get_by_role("link", name="Limits", exact=True).click()
    expect(reference).to_have_url(re.compile("#limits$"))
    expect(reference.get_by_role("heading", name="Limits")).to_be_in_viewport()


@pytest.mark.parametrize("path", ["/docs/nothing", "/docs/../settings.py", "/docsx"])
def test_nothing_else_is_there(stack: Stack, path: str) -> None:
    answer = httpx.get(stack.base_url + path, trust_env=False)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found_error"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(reference: Page, scheme: Literal["light", "dark"]) -> None:
    reference.emulate_media(color_scheme=scheme)
    operation = reference.locator("#operations-Upload-upload")
    operation.get_by_role("button", name="Upload a file").click()
    operation.get_by_text("Python", exact=True).click()
    # The viewer puts a button to copy the path into the button that opens an endpoint.
    assert [each for each in faults(reference) if not each.startswith("nested-interactive")] == []
