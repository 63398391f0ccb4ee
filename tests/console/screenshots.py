"""Draws the README's picture of the console: python -m tests.console.screenshots FILE."""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import FilePayload, ViewportSize, sync_playwright

from demo.addresses import free_ports
from demo.images import drawn
from demo.stack import Stack
from tests.console.conftest import FLAGS
from tests.e2e.browser import chromium

SIZE: ViewportSize = {"width": 1200, "height": 1040}


def main() -> None:
    """Signs in, uploads pictures, asks about one of them, and takes the picture."""
    (target,) = map(Path, sys.argv[1:])
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack(Path(folder), free_ports()) as stack,
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
        page.wait_for_function("[...document.images].every((image) => image.complete)")
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        # 64 colours look the same and take a third of the bytes.
        shot.quantize(64, dither=Image.Dither.NONE).save(target, optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
