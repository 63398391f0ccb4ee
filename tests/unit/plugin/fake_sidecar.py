"""A sidecar's internal listener and an issuer's JWKS, scripted, over real HTTP on loopback.

It is a stand-in, so that the plugin's tests need no sidecar; the contract is the sidecar's own.
"""

import contextlib
import json
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgpack


@dataclass
class FakeSidecar:
    """What it says, and what it was asked."""

    media: dict[str, str] = field(default_factory=dict)  # id: URL
    errors: dict[str, str] = field(default_factory=dict)  # id: code
    ttl: float = 300.0
    left: float = 300.0  # seconds until URLs expire
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)  # API key: what verify answers
    jwks: dict[str, Any] = field(default_factory=lambda: {"keys": []})
    discovery: dict[str, Any] = field(default_factory=dict)
    broken: bool = False  # answers 503 to everything
    delay: float = 0.0  # seconds before each answer
    asked: list[tuple[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        question: Any = msgpack.unpackb(body) if body else None
        self.asked.append((path, question))
        time.sleep(self.delay)
        if self.broken:
            return 503, b""
        if path == "/jwks.json":
            return 200, json.dumps(self.jwks).encode()
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps(self.discovery).encode()
        if path == "/internal/keys/verify":
            return 200, msgpack.packb(self.keys.get(question["key"], {"valid": False}))
        return 200, msgpack.packb(self.resolved(question["ids"]))

    def resolved(self, ids: list[str]) -> dict[str, Any]:
        media = {
            one: {
                "url": self.media[one],
                "mime": "image/png",
                "expires_at": time.time() + self.left,
                "ttl": self.ttl,
            }
            for one in ids
            if one in self.media
        }
        errors = {
            one: {"code": self.errors.get(one, "media_not_found"), "message": "It is not there."}
            for one in ids
            if one not in self.media
        }
        return {"media": media, "errors": errors}

    def questions(self, path: str) -> list[Any]:
        """What was asked at ``path``."""
        return [question for asked, question in self.asked if asked == path]


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """An HTTP server on a Unix socket."""

    daemon_threads = True


@contextlib.contextmanager
def running_fake_sidecar(socket: Path | None = None) -> Iterator[FakeSidecar]:
    """Run one on a free port, or on a Unix socket."""
    sidecar = FakeSidecar()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sidecar.headers.append({name.lower(): value for name, value in self.headers.items()})
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = sidecar.answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    server: socketserver.BaseServer
    if socket is None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        sidecar.port = server.server_address[1]
    else:
        server = UnixServer(str(socket), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield sidecar
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
