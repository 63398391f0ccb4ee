"""A small web server with images, standing for "somewhere on the internet" in demo and tests."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from demo.addresses import HOST
from demo.images import FORMATS, drawn
from demo.in_thread import ServedInThread


class _Images(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        ending = name.rpartition(".")[2].lower()
        if ending not in FORMATS:
            self.send_error(404)
            return
        content = drawn(name)
        self.send_response(200)
        self.send_header("Content-Type", f"image/{FORMATS[ending].lower()}")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Stays quiet."""


class ImageHost(ServedInThread):
    """Serves `demo.images.drawn(name)` at every path that ends in an image's name.

    Use it as a context manager.
    """

    def __init__(self) -> None:
        super().__init__(ThreadingHTTPServer((HOST, 0), _Images))
