"""A model that answers at once, so that a bench measures the gateway and not the model.

``python -m bench.upstream`` serves on a free port of loopback and prints its URL. Its answer has
the length of the request's body in ``X-Received-Bytes``.
"""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import cast

import httptools
import uvloop

_CHOICE = {"message": {"content": "I see." * 20}}
_BODY = json.dumps({"object": "chat.completion", "choices": [_CHOICE]}).encode()
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    b"X-Received-Bytes: %%d\r\n\r\n%b" % (len(_BODY), _BODY)
)


class _Connection(asyncio.Protocol):
    """Answers each request when its body is complete."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpRequestParser(self)
        self._received = 0

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, piece: bytes) -> None:
        self._received += len(piece)

    def on_message_complete(self) -> None:
        self._transport.write(_ANSWER % self._received)
        self._received = 0


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}", flush=True)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


@contextlib.contextmanager
def running_upstream() -> Iterator[str]:
    """Run it in a separate process; return its URL."""
    command = [sys.executable, "-m", "bench.upstream"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                raise RuntimeError("the upstream did not start")
            yield url
        finally:
            process.terminate()


if __name__ == "__main__":
    uvloop.run(_serve())
