"""The console with bytes in an S3 at another address: Ceph, with the documented CORS rule."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from demo.addresses import HOST, free_ports
from demo.image_host import ImageHost
from demo.images import drawn
from demo.kong_settings import ROOT
from demo.stack import Stack
from tests.console.acts import ask, clipboard, noise, store
from tests.e2e.browser import read_in_browser
from tests.e2e.conftest import client_for, guest_token, start_stack
from tests.e2e.documented import Outcome, substituted
from tests.e2e.test_documented_examples import EXAMPLES, IN_A_BROWSER, PRINTED
from tests.support.ceph import Ceph

DOM_EXAMPLES = [e for e in EXAMPLES if e.language == "javascript"]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")


@pytest.fixture(scope="module")
def bucket(ceph: Ceph) -> str:
    return ceph.new_bucket()


@pytest.fixture(scope="module")
def stack(ceph: Ceph, bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All parts, on a bucket that does not know the page's address yet."""
    with start_stack(tmp_path_factory.mktemp("s3"), **ceph.media_settings(bucket)) as running:
        yield running


@pytest.fixture
def storage(ceph: Ceph) -> str:
    return ceph.endpoint


@pytest.fixture(scope="module")
def examples_port() -> int:
    """The port of the site that runs the API page's examples."""
    return free_ports().llm


@pytest.fixture(scope="module")
def cors(ceph: Ceph, bucket: str, stack: Stack, examples_port: int) -> None:
    """The rule of docs/operations.md, for the sites of these tests."""
    (written,) = re.findall(r"--cors-configuration '(.*?)'", OPERATIONS, re.DOTALL)
    rules: Any = json.loads(written)
    sites = [stack.base_url, f"http://{HOST}:{examples_port}"]
    rules["CORSRules"][0]["AllowedOrigins"] = sites
    ceph.client().put_bucket_cors(Bucket=bucket, CORSConfiguration=rules)


def test_a_large_file_goes_through_the_gateway_where_the_storage_knows_no_page(
    console: Page,
) -> None:
    posted: list[str] = []
    console.on("requestfinished", lambda r: posted.append(r.url) if r.method == "POST" else None)
    console.locator("input[multiple]").set_input_files(noise("stranger.png"))
    expect(console.locator(".tasks .done")).to_contain_text("stranger.png")
    assert [url.rsplit("/", 1)[1] for url in posted] == ["prepare-upload", "media"]


@pytest.mark.usefixtures("cors")
def test_a_large_file_goes_straight_to_the_storage(console: Page, storage: str) -> None:
    posted: list[str] = []
    console.on("requestfinished", lambda r: posted.append(r.url) if r.method == "POST" else None)
    console.locator("input[multiple]").set_input_files(noise("direct.png"))
    expect(console.locator(".tasks .done")).to_contain_text("direct.png")
    assert [url.startswith(storage) for url in posted] == [False, True, False]
    expect(console.locator(".grid li")).to_contain_text("4.4 MiB")


@pytest.mark.usefixtures("cors")
def test_a_connection_that_is_lost_on_the_way_is_said_and_tried_again(
    console: Page, ceph: Ceph
) -> None:
    # The browser asks for leave once, and then may send to a storage that says nothing.
    console.locator("input[multiple]").set_input_files(noise("before.png"))
    expect(console.locator(".tasks .done")).to_contain_text("before.png")
    with ceph.gateway_silent():
        console.locator("input[multiple]").set_input_files(noise("lost.png"))
        says = console.locator(".tasks li").filter(has_text="lost.png").locator(".says")
        expect(says).to_have_text(re.compile("sent|checked"))
        ceph.stop_gateway()
        expect(says).to_contain_text("The connection was lost")
        ceph.start_gateway()
    console.get_by_role("button", name="Try again").click()
    expect(console.locator(".tasks .done")).to_have_count(2)


@pytest.mark.usefixtures("cors")
def test_a_page_of_this_origin_may_put_a_file_there_too(console: Page, stack: Stack) -> None:
    with client_for(stack.base_url, guest_token(stack.base_url)) as guest:
        body = {"content_type": "image/png"}
        prepared = guest.post("/media/v1/media/prepare-upload", json=body).json()
    status = console.evaluate(
        """async (url) => {
          const pixels = await new OffscreenCanvas(8, 8);
          pixels.getContext("2d").fillRect(0, 0, 4, 4);
          const body = await pixels.convertToBlob();
          const headers = { "Content-Type": "image/png" };
          return (await fetch(url, { method: "PUT", headers, body })).status;
        }""",
        prepared["presigned_url"],
    )
    assert status == 200


def test_pictures_are_seen_linked_and_asked_about(console: Page, storage: str) -> None:
    (media_id,) = store(console, "far.png")
    expect(console.locator(".grid img")).not_to_have_js_property("naturalWidth", 0)
    console.get_by_role("button", name=f"Open {media_id}").click()
    dialog = console.get_by_role("dialog")
    expect(dialog).to_contain_text("320 × 200")
    assert str(dialog.locator("img").get_attribute("src")).startswith(storage)
    dialog.get_by_role("button", name="Copy a fresh link").click()
    console.get_by_text("The link works until").wait_for()
    assert httpx.get(clipboard(console), trust_env=False).content == drawn("far.png")
    dialog.get_by_role("button", name="Ask a model about it").click()
    ask(console, "What is this?")
    expect(console.get_by_role("log")).to_contain_text("PNG, 320×200 pixels")


# --------------------------------------------------------- The API page's examples, in the browser


@pytest.fixture(scope="module")
def outcomes(
    stack: Stack,
    cors: None,
    examples_port: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Outcome]:
    """What came of every JavaScript example, read from top to bottom."""
    swaps = {"http://localhost:8000": stack.base_url}
    with client_for(stack.base_url, guest_token(stack.base_url)) as guest:
        for number in range(2):
            file = drawn(f"sample-{number}.jpg")
            answer = guest.post("/media/v1/media", files={"file": file})
            swaps[f"jan_01hqr8v9k2x3f4g5h6j7k8m9n{number}"] = answer.json()["id"]
    folder: Path = tmp_path_factory.mktemp("browser")
    with ImageHost() as images:
        swaps["https://example.com"] = images.base_url
        sources = [substituted(e.source, swaps) for e in DOM_EXAMPLES]
        ran = read_in_browser(sources, drawn("browser-photo.jpg"), folder, examples_port)
    return {e.name: outcome for e, outcome in zip(DOM_EXAMPLES, ran, strict=True)}


@pytest.mark.parametrize("name", [e.name for e in DOM_EXAMPLES])
def test_example_works_in_a_browser(name: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[name]
    assert outcome.failure == ""
    assert re.fullmatch({**PRINTED, **IN_A_BROWSER}[name], outcome.printed, re.DOTALL)
