"""User actions on the console, for the tests."""

import io
import json
import random

from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from demo.images import drawn


def choose(page: Page, *names: str) -> None:
    """Chooses files of these names, each with another picture."""
    files = [FilePayload(name=name, mimeType="image/png", buffer=drawn(name)) for name in names]
    page.locator("input[multiple]").set_input_files(files)


def store(page: Page, *names: str) -> list[str]:
    """Uploads pictures; returns the ids in the library, newest first."""
    before = page.locator(".tasks .done").count()
    choose(page, *names)
    expect(page.locator(".tasks .done")).to_have_count(before + len(names))
    return page.locator(".grid .id").all_inner_texts()


def ask(page: Page, text: str) -> None:
    page.get_by_label("Your question").fill(text)
    page.get_by_role("button", name="Send").click()


def clipboard(page: Page) -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


def noise(name: str) -> FilePayload:
    """A file of 4.4 MiB: large enough to go straight to the storage."""
    size = (1280, 1200)
    picture = io.BytesIO()
    pixels = random.Random(name).randbytes(size[0] * size[1] * 3)
    Image.frombytes("RGB", size, pixels).save(picture, "PNG", compress_level=0)
    return FilePayload(name=name, mimeType="image/png", buffer=picture.getvalue())


def token_of(page: Page) -> str:
    """The token that the page has kept."""
    return str(json.loads(page.evaluate("sessionStorage.getItem('jan-session')"))["token"])


def faults(page: Page) -> list[str]:
    """What axe objects to in the page as it is."""
    report = Axe().run(page).response
    assert len(report["passes"]) > 10
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in report["violations"]]
