"""A running sidecar, and a web server whose files it may fetch."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.contract.api.client import Api
from tests.support.sidecar import RunningSidecar, running_sidecar

MAX_BYTES = 300_000


@pytest.fixture(scope="session")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    """A sidecar with small limits and no gateway in front."""
    with running_sidecar(
        tmp_path_factory.mktemp("sidecar") / "data",
        MAX_BYTES=str(MAX_BYTES),
        REMOTE_FETCH_TIMEOUT="500ms",
        MAX_PIXELS="1000000",
    ) as running:
        yield running


@pytest.fixture
def api(sidecar: RunningSidecar) -> Iterator[Api]:
    """A client of that sidecar."""
    with Api(sidecar) as client:
        yield client


class Website:
    """Serves what a test puts at a path; other paths are 404, and ``/slow`` never answers."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.closing = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/slow":
                    site.closing.wait()
                page = site.pages.get(self.path)
                self.send_response(404 if page is None else 200)
                self.send_header("Content-Length", str(len(page or b"")))
                self.end_headers()
                self.wfile.write(page or b"")

            def log_message(self, format: str, *args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, path: str, page: bytes) -> str:
        """Serve ``page`` at ``path``; returns its URL."""
        self.pages[path] = page
        return self.url + path


@pytest.fixture(scope="session")
def website() -> Iterator[Website]:
    """A web server on loopback."""
    site = Website()
    yield site
    site.closing.set()
    site.server.shutdown()
    site.server.server_close()
