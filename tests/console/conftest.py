"""A running gateway, a browser, and a page that fails the test if it does anything forbidden."""

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
def address(stack: Stack) -> str:
    """Where people find the gateway."""
    return stack.base_url


@pytest.fixture
def storage() -> str:
    """Where else the page may go: the storage, if browsers reach it at another address."""
    return ""


@pytest.fixture
def page(browser: Browser, address: str, storage: str) -> Iterator[Page]:
    """An empty tab. At its end nothing was violated, failed or loaded from elsewhere."""
    context = browser.new_context(
        base_url=address, reduced_motion="reduce", ignore_https_errors=True
    )
    origin = urlsplit(address)._replace(path="").geturl()
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=origin)
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
    assert hosts <= {"", urlsplit(address).netloc, urlsplit(storage).netloc}


@pytest.fixture
def console(page: Page, address: str) -> Page:
    """The console, with a new guest signed in."""
    page.goto(f"{address}/")
    page.get_by_role("button", name="Continue as guest").click()
    page.get_by_text("Nothing is stored yet").wait_for()
    return page
