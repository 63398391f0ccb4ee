"""Ask Pillow and a browser which of the damaged pictures they show, and keep their answers.

``python -m tests.unit.content.witnesses`` needs Chromium, and writes ``witnesses.json``.
"""

import http.server
import io
import json
import shutil
import subprocess
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any

from PIL import Image

from tests.unit.content.damage import cases

KEPT = Path(__file__).with_name("witnesses.json")
_PAGE = b"""<!doctype html><script>
(async () => {
  const answers = {};
  for (let number = 0; number < COUNT; number++) {
    const image = new Image();
    image.src = "/" + number;
    answers[number] = await image.decode().then(() => image.naturalWidth > 0, () => false);
  }
  await fetch("/", {method: "POST", body: JSON.stringify(answers)});
})();
</script>"""


def pillow_shows(content: bytes) -> bool:
    """Whether Pillow decodes all frames with its defaults."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content)) as image:
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                image.load()
            return True
    except Exception:
        return False


def browser_shows(files: list[tuple[str, bytes]]) -> list[bool]:
    """Which of these files, each with its type, headless Chromium decodes."""
    answers: dict[str, bool] = {}
    done = threading.Event()

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = self.path[1:]
            page = ("text/html", _PAGE.replace(b"COUNT", str(len(files)).encode()))
            kind, body = files[int(number)] if number.isdigit() else page
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            answers.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            done.set()

        def log_message(self, *_: Any) -> None:
            pass

    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("Chromium is not installed")
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as site,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        threading.Thread(target=site.serve_forever, daemon=True).start()
        browser = subprocess.Popen(
            [
                *(program, "--headless", "--no-sandbox", "--disable-gpu", "--no-proxy-server"),
                *(f"--user-data-dir={profile}", f"http://127.0.0.1:{site.server_port}/"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            if not done.wait(120):
                raise SystemExit("the browser did not answer")
        finally:
            browser.terminate()
            browser.wait()
            site.shutdown()
    return [answers[str(number)] for number in range(len(files))]


def main() -> None:
    """Ask both about every case."""
    made = cases()
    browser = browser_shows(list(made.values()))
    verdicts = {
        name: {"pillow": pillow_shows(content), "browser": shown}
        for (name, (_, content)), shown in zip(made.items(), browser, strict=True)
    }
    lines = (f"{json.dumps(name)}: {json.dumps(verdict)}" for name, verdict in verdicts.items())
    KEPT.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
