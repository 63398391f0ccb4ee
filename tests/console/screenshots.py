"""Takes the docs' pictures of the console: python -m tests.console.screenshots FOLDER."""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import FilePayload, Page, ViewportSize, sync_playwright

from demo.addresses import free_ports
from demo.images import drawn
from demo.stack import Stack
from tests.console.conftest import FLAGS
from tests.e2e.browser import chromium

SIZE: ViewportSize = {"width": 1200, "height": 1040}


PHONE: ViewportSize = {"width": 390, "height": 844}


def main() -> None:
    """Signs in, uploads pictures, asks about one of them, and takes pictures on the way."""
    (folder,) = map(Path, sys.argv[1:])
    with (
        tempfile.TemporaryDirectory() as data,
        Stack(Path(data), free_ports()) as stack,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport=SIZE, reduced_motion="reduce")
        page.goto(stack.base_url)
        page.get_by_role("button", name="Continue as guest").click()
        page.get_by_text("Nothing is stored yet").wait_for()
        for name in ("balloons.png", "harbour.png", "garden.png"):
            file = FilePayload(name=name, mimeType="image/png", buffer=drawn(name))
            page.locator("input[multiple]").set_input_files(file)
            page.locator(".tasks .done").filter(has_text=name).wait_for()
        for _ in range(2):
            page.get_by_role("button", name="Leave out").first.click()
        page.get_by_label("Your question").fill("What is in this picture?")
        page.get_by_role("button", name="Send").click()
        page.get_by_label("What the model received").locator("mark").wait_for()
        take(page, folder / "console.png")
        page.locator(".grid").get_by_role("button", name="Open").first.click()
        page.get_by_role("dialog").get_by_text("320 × 200").wait_for()
        take(page, folder / "console-picture.png")
        page.keyboard.press("Escape")
        page.set_viewport_size(PHONE)
        page.emulate_media(color_scheme="dark")
        take(page, folder / "console-phone.png")
        browser.close()


def take(page: Page, target: Path) -> None:
    """Writes what is seen of the page to a file."""
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    # 64 colours look the same and take a third of the bytes.
    shot.quantize(64, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    main()
