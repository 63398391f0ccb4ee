"""A reader with a browser: the page's JavaScript examples in headless Chromium, across origins."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.e2e.documented import Outcome, declared_names

READER_SECONDS = 60

PAGE = """<!doctype html><meta charset="utf-8">
<input type="file" id="fileInput"><canvas id="myCanvas" width="64" height="48"></canvas>
<script type="module">
const photo = await (await fetch("/photo.jpg")).blob();
const chosen = new DataTransfer();
chosen.items.add(new File([photo], "photo.jpg", {type: "image/jpeg"}));
document.getElementById("fileInput").files = chosen.files;
const pen = document.getElementById("myCanvas").getContext("2d");
pen.fillStyle = "teal";
pen.fillRect(8, 8, 32, 24);

const outcomes = [];
for (let index = 0; index < COUNT; index++) {
  const outcome = {printed: "", failure: ""};
  outcomes.push(outcome);
  const said = new Promise(done => {
    console.log = (...values) => { outcome.printed += values.join(" ") + "\\n"; done(); };
  });
  try {
    const source = await (await fetch(`/${index}.mjs`)).text();
    await import(`/${index}.mjs`);
    // An example that works in a callback is done when it says so.
    const patience = new Promise(done => setTimeout(done, 9000));
    if (source.includes("onload")) await Promise.race([said, patience]);
  } catch (problem) {
    outcome.failure = String(problem.stack ?? problem);
  }
}
await fetch("/outcomes", {method: "POST", body: JSON.stringify(outcomes)});
</script>"""


def chromium() -> str:
    """The browser's executable. Raises FileNotFoundError."""
    # The first is the same browser without windows of its own, for half of the processor's time.
    names = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]
    for name in (os.environ.get("CHROMIUM"), *names):
        if name and (found := shutil.which(name)):
            return found
    raise FileNotFoundError("no Chromium: install chromium-headless-shell, or name it in CHROMIUM")


def read_in_browser(
    sources: Sequence[str], photo: bytes, folder: Path, port: int = 0
) -> list[Outcome]:
    """Runs JavaScript examples as modules of one page, in order. Raises TimeoutError.

    The page comes from 127.0.0.1 and ``port``, or any that is free.
    """
    files = {"/": ("text/html", PAGE.replace("COUNT", str(len(sources))).encode())}
    files["/photo.jpg"] = ("image/jpeg", photo)
    for index, source in enumerate(sources):
        kept = f"\nObject.assign(globalThis, {{ {', '.join(declared_names(source))} }});\n"
        files[f"/{index}.mjs"] = ("text/javascript", (source + kept).encode())
    reported: list[Any] = []
    finished = threading.Event()

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, content = files.get(self.path, ("", b""))
            self.send_response(200 if kind else 404)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            reported.extend(json.loads(self.rfile.read(length)))
            self.send_response(204)
            self.end_headers()
            finished.set()

        def log_message(self, format: str, *args: object) -> None:
            """Stays quiet."""

    with ThreadingHTTPServer(("127.0.0.1", port), Site) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        browser = subprocess.Popen(
            [
                chromium(),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                f"--user-data-dir={folder / 'profile'}",
                f"http://127.0.0.1:{site.server_address[1]}/",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            if not finished.wait(READER_SECONDS):
                raise TimeoutError("the browser did not report in time")
        finally:
            browser.terminate()
            browser.wait()
            site.shutdown()
    return [Outcome(**each) for each in reported]
