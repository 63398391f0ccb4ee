"""The console below a path of another site, behind https: no link of it leads elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from demo.addresses import free_ports
from demo.stack import Stack
from tests.console.acts import ask, clipboard, noise, store
from tests.e2e import kong_yml
from tests.e2e.conftest import start_stack
from tests.support import tls_proxy

PREFIX = "/tools/jan"


@pytest.fixture(scope="module")
def https_port() -> int:
    return free_ports().gateway


@pytest.fixture(scope="module")
def stack(https_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All parts. The model gets bytes, since it does not know who signed the certificate."""
    folder: Path = tmp_path_factory.mktemp("https")
    public_url = f"https://localhost:{https_port}{PREFIX}/media"
    stack = start_stack(folder, MEDIA_PUBLIC_URL=public_url)
    document = kong_yml.written()
    for route in kong_yml.protected_routes(document):
        if route["name"] == "llm":
            kong_yml.plugin(route, "jan-media")["resolve_as"] = "data_url"
    stack.kong_yml = folder / "written.yml"
    stack.kong_yml.write_text(kong_yml.text(document))
    with stack:
        yield stack


@pytest.fixture(scope="module")
def site(stack: Stack, https_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("tls")
    with tls_proxy.running(folder, https_port, PREFIX, stack.base_url) as address:
        yield address


@pytest.fixture
def address(site: str) -> str:
    return site


def test_a_picture_goes_all_the_way(console: Page, address: str) -> None:
    (media_id,) = store(console, "below.png")
    expect(console.locator(".grid img")).not_to_have_js_property("naturalWidth", 0)
    ask(console, "What is this?")
    expect(console.get_by_role("log")).to_contain_text("PNG, 320×200 pixels")
    console.get_by_role("button", name=f"Open {media_id}").click()
    dialog = console.get_by_role("dialog")
    expect(dialog).to_contain_text("320 × 200")
    assert str(dialog.locator("img").get_attribute("src")).startswith(f"{address}/media/")
    dialog.get_by_role("button", name="Copy", exact=True).click()
    console.get_by_text("The copy holds your token").wait_for()
    assert f"{address}/v1/chat/completions" in clipboard(console)


def test_a_large_file_goes_straight_to_the_storage(console: Page, address: str) -> None:
    posted: list[str] = []
    console.on("requestfinished", lambda r: posted.append(r.url) if r.method == "POST" else None)
    console.locator("input[multiple]").set_input_files(noise("large.png"))
    expect(console.locator(".tasks .done")).to_contain_text("large.png")
    assert posted[1].startswith(f"{address}/media/files")


@pytest.mark.parametrize("path", ["/", "/console", "/console/"])
def test_each_address_of_the_page_leads_to_it(page: Page, address: str, path: str) -> None:
    page.goto(f"{address}{path}")
    page.get_by_role("button", name="Continue as guest").wait_for()
    assert page.url == f"{address}{path if path == '/' else '/console/'}"
