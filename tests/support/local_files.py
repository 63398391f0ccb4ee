"""The ``/files`` routes of a local storage over plain HTTP, and nothing else of the sidecar.

So that the contract suite drives the local storage as it drives S3: by the URLs and forms that it
signs, with a real client.
"""

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from jan_media.content.multipart import FormReader
from jan_media.storage.disposition import inline_disposition
from jan_media.storage.interface import ObjectMissing
from jan_media.storage.local import LocalStorage
from jan_media.storage.post_policy import AcceptedPost
from jan_media.storage.refusals import AccessRefused, FieldMissing

SECRET = b"a secret of the tests, 32 bytes."


class _Files(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    storage: LocalStorage  # set in the subclass of one server

    def do_GET(self) -> None:
        key, params = self._target()
        try:
            accepted = self.storage.urls.check_get(key, params, time.time())
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            start, stop = (int(asked[1]), int(asked[2]) + 1) if asked else (0, None)
            with self.storage.read(accepted.key, start=start, stop=stop) as reading:
                body = b"".join(reading.chunks())
        except AccessRefused:
            self._answer(403)
        except ObjectMissing:
            self._answer(404)
        else:
            disposition = inline_disposition(accepted.filename)
            headers = {"Content-Type": accepted.mime, "Content-Disposition": disposition}
            self._answer(206 if asked else 200, body, headers)

    def do_PUT(self) -> None:
        key, params = self._target()
        body = self._body()
        try:
            accepted = self.storage.urls.check_put(
                key, params, self.headers.get("Content-Type"), time.time()
            )
        except AccessRefused:
            self._answer(403)
            return
        self.storage.put(accepted.key, BytesIO(body), size=len(body), mime=accepted.mime)
        self._answer(200)

    def do_POST(self) -> None:
        taken: list[AcceptedPost] = []
        file = bytearray()

        def check(fields: Mapping[str, str]) -> None:
            taken.append(self.storage.urls.check_post(fields, time.time()))

        form = FormReader(self.headers["Content-Type"], file.extend, check)
        body = self._body()
        try:
            form.feed(body)
            form.close()
        except AccessRefused as refused:
            self._answer(400 if isinstance(refused, FieldMissing) else 403)
            return
        (accepted,) = taken
        if not accepted.min_bytes <= len(file) <= accepted.max_bytes:
            self._answer(400)
            return
        self.storage.put(accepted.key, BytesIO(file), size=len(file), mime=accepted.mime)
        self._answer(204)

    def _target(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        return parts.path.removeprefix("/files/"), dict(parse_qsl(parts.query))

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _answer(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def served(root: Path) -> Iterator[LocalStorage]:
    """A local storage in ``root`` whose URLs and forms work over HTTP."""

    class Handler(_Files):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    public_url = f"http://127.0.0.1:{server.server_address[1]}"
    Handler.storage = LocalStorage(root, public_url=public_url, secret=SECRET)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Handler.storage
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        Handler.storage.close()
