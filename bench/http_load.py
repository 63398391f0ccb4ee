"""HTTP load: wrk if it is installed, or else a driver in this process.

Both repeat requests that were made beforehand, over connections that stay open, and fail if an
answer is an error: a refused request is quick, and would pass for a good figure.
"""

import asyncio
import itertools
import json
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httptools
import uvloop


@dataclass(frozen=True, slots=True)
class Load:
    """POSTs to ``url``, each with one of ``bodies`` in turn."""

    url: str
    headers: dict[str, str]
    bodies: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Speed:
    """What came of it."""

    rate: float
    """Requests a second."""
    median_us: float
    """Of the time to an answer, µs."""


def has_wrk() -> bool:
    """Whether wrk is installed."""
    return shutil.which("wrk") is not None


def load_with_wrk(load: Load, folder: Path, *, connections: int, seconds: float) -> Speed:
    """Load with wrk for ``seconds``, whole ones; ``folder`` takes its script."""
    script = folder / "load.lua"
    for number, body in enumerate(load.bodies):
        (folder / f"{number}.body").write_bytes(body)
    headers = "".join(f"wrk.headers[{_lua(n)}] = {_lua(v)}\n" for n, v in load.headers.items())
    script.write_text(
        f"local folder, count = {_lua(str(folder))}, {len(load.bodies)}\n{headers}{_WRK}"
    )
    done = subprocess.run(  # noqa: S603
        [
            *("wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"),
            *("-s", str(script), load.url),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"^figures: (.*)$", done.stdout, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"wrk has failed: {done.stdout}{done.stderr}")
    figures = json.loads(found[1])
    if figures["errors"]:
        raise RuntimeError(f"{load.url}: {figures['errors']} requests were answered with an error")
    return Speed(figures["requests"] / figures["us"] * 1e6, figures["median"])


_WRK = """
wrk.method = "POST"
local requests, at = {}, 0

function init()
  for number = 0, count - 1 do
    local file = assert(io.open(folder .. "/" .. number .. ".body", "rb"))
    requests[number + 1] = wrk.format(nil, nil, nil, file:read("*a"))
    file:close()
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('figures: {"requests": %d, "us": %d, "median": %d, "errors": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50),
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
"""


def _lua(text: str) -> str:
    return json.dumps(text)


def load_from_here(load: Load, *, connections: int, seconds: float) -> Speed:
    """Load from this process for ``seconds``, and until there is an answer."""
    return uvloop.run(_load(load, connections, seconds))


async def _load(load: Load, connections: int, seconds: float) -> Speed:
    requests = itertools.cycle([_request(load, body) for body in load.bodies])
    address = urlsplit(load.url)
    loop = asyncio.get_running_loop()
    lanes = [_Lane(requests, loop.create_future()) for _ in range(connections)]
    start = time.perf_counter()
    for lane in lanes:
        await loop.create_connection(
            lambda lane=lane: lane,  # type: ignore[misc]
            address.hostname or "",
            address.port or 80,
        )
    await asyncio.sleep(seconds)
    for lane in lanes:
        lane.stopping = True
    await asyncio.gather(*(lane.stopped for lane in lanes))
    elapsed = time.perf_counter() - start
    times = [each for lane in lanes for each in lane.times]
    return Speed(len(times) / elapsed, statistics.median(times) * 1e6)


class _Lane(asyncio.Protocol):
    """One connection: the next request goes out when the last is answered."""

    def __init__(self, requests: "itertools.cycle[bytes]", stopped: "asyncio.Future[None]") -> None:
        self.requests = requests
        self.stopped = stopped
        self.stopping = False
        self.times: list[float] = []
        """Seconds to each answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._sent = time.perf_counter()
        self._transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.times.append(time.perf_counter() - self._sent)
        status = self._parser.get_status_code()
        if status >= 400:
            self._end(RuntimeError(f"a request was answered with {status}"))
        elif self.stopping:
            self._end(None)
        else:
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or ConnectionResetError("the connection was closed"))

    def _end(self, error: Exception | None) -> None:
        self._transport.abort()
        if not self.stopped.done():
            if error is None:
                self.stopped.set_result(None)
            else:
                self.stopped.set_exception(error)


def _request(load: Load, body: bytes) -> bytes:
    address = urlsplit(load.url)
    headers = {"Host": address.netloc, **load.headers, "Content-Length": str(len(body))}
    lines = [f"POST {address.path} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body
