"""A sidecar's internal listener and an issuer's JWKS, scripted, over real HTTP on loopback.

It is a stand-in, so that the plugin's tests need no sidecar; the contract is the sidecar's own.
"""

import contextlib
import hashlib
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

NOT_FOUND = (
    b'{"error":{"type":"not_found_error","code":"media_not_found","message":"Gone.","param":null}}'
)


@dataclass
class FakeSidecar:
    """What it says, and what it was asked."""

    media: dict[str, str] = field(default_factory=dict)  # id or URL of ours: URL
    ids: dict[str, str] = field(default_factory=dict)  # URL of ours: id
    contents: dict[str, bytes] = field(default_factory=dict)  # id: bytes
    renditions: set[str] = field(default_factory=set)  # ids whose URL is a rendition's
    mime: str = "image/png"
    foreign: list[str] = field(default_factory=list)  # URLs that are not ours
    refusal: tuple[int, str] | None = None  # status and code, of everything that is to be kept
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
        if path == "/internal/content":
            content = self.contents.get(question["id"])
            return (404, NOT_FOUND) if content is None else (200, content)
        return 200, msgpack.packb(self.resolved(question["names"]))

    def stored(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """What is said to bytes that are to be kept."""
        self.asked.append(("/internal/store", (body, headers)))
        if self.broken:
            return 503, b""
        if self.refusal is not None:
            status, code = self.refusal
            error = {"type": "invalid_request_error", "code": code, "message": "No.", "param": None}
            return status, json.dumps({"error": error}).encode()
        media_id = f"jan_0{hashlib.sha256(body).hexdigest()[:25]}"
        self.media[media_id] = f"https://media.example/{media_id}"
        answer = {"id": media_id, "mime": "image/png", "bytes": len(body), "deduped": False}
        return 200, msgpack.packb(answer)

    def resolved(self, names: list[str]) -> dict[str, Any]:
        ids = [one for one in names if one not in self.foreign]
        media = {
            one: {
                "id": self.ids.get(one, one),
                "url": self.media[one],
                "mime": self.mime,
                "bytes": len(self.contents.get(self.ids.get(one, one), b"")),
                "expires_at": time.time() + self.left,
                "ttl": self.ttl,
                **({"rendition": True} if one in self.renditions else {}),
            }
            for one in ids
            if one in self.media
        }
        errors = {
            one: {"code": self.errors.get(one, "media_not_found"), "message": "It is not there."}
            for one in ids
            if one not in self.media
        }
        return {
            "media": media,
            "errors": errors,
            "foreign": [one for one in names if one in self.foreign],
        }

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
            headers = {name.lower(): value for name, value in self.headers.items()}
            sidecar.headers.append(headers)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/internal/store":
                status, answer = sidecar.stored(body, headers)
            else:
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
