"""A running gateway, a browser, and a page that may do nothing it should not."""

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

from demo.stack import Stack
from tests.e2e.browser import chromium
from tests.e2e.conftest import start_stack

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Notes what the Content-Security-Policy stopped, for the end of each test.
WATCH = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`);
});
"""


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All parts, on local storage."""
    with start_stack(tmp_path_factory.mktemp("console"), MEDIA_MAX_BYTES="6MiB") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Playwright runs an event loop, beside which other files cannot."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    """An empty tab. At its end nothing was violated, failed or loaded from elsewhere."""
    context = browser.new_context(base_url=stack.base_url, reduced_motion="reduce")
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=stack.base_url)
    context.add_init_script(WATCH)
    tab = context.new_page()
    tab.set_default_timeout(15_000)
    faults: list[str] = []
    hosts: set[str] = set()

    def note_dialog(dialog: Dialog) -> None:
        faults.append(f"a dialog: {dialog.message}")
        dialog.accept()

    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("dialog", note_dialog)
    tab.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    yield tab
    faults += tab.evaluate("window.violations ?? []")
    context.close()
    assert faults == []
    assert hosts <= {"", urlsplit(stack.base_url).netloc}


@pytest.fixture
def console(page: Page) -> Page:
    """The console, with a new guest signed in."""
    page.goto("/")
    page.get_by_role("button", name="Continue as guest").click()
    page.get_by_text("Nothing is stored yet").wait_for()
    return page


def token_of(page: Page) -> str:
    """The token that the page has kept."""
    return str(json.loads(page.evaluate("sessionStorage.getItem('jan-session')"))["token"])
