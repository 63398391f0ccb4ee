"""Load by wrk (https://github.com/wg/wrk): prepared requests over persistent connections.

An error ends the bench: a refused request is quick, and would pass for a good figure.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Load:
    """Requests to ``url``: POSTs of one of ``bodies`` each, or GETs of one of ``paths``."""

    url: str
    headers: Mapping[str, str]
    bodies: Sequence[bytes] = ()
    paths: Sequence[str] = ()
    renew: tuple[int, int] | None = None
    """Position and length of the base64 in a body that differs in each request."""


@dataclass(frozen=True, slots=True)
class Speed:
    """The result of a load."""

    rate: float  # requests a second
    median_us: float  # of the time to an answer


def drive(load: Load, folder: Path, *, connections: int, seconds: float) -> Speed:
    """Load for ``seconds``, a whole number; wrk's script and the bodies go into ``folder``.

    Raises RuntimeError if an answer was an error.
    """
    for number, body in enumerate(load.bodies, 1):
        (folder / f"{number}.body").write_bytes(body)
    script = folder / "load.lua"
    first, length = load.renew or (0, 0)
    script.write_text(
        f"local folder, count = {json.dumps(str(folder))}, {len(load.bodies)}\n"
        f"local paths = {{{', '.join(map(json.dumps, load.paths))}}}\n"
        f"local first, length = {first}, {length}\n"
        + "".join(
            f"wrk.headers[{json.dumps(n)}] = {json.dumps(v)}\n" for n, v in load.headers.items()
        )
        + _SCRIPT
    )
    done = subprocess.run(
        [
            *("wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"),
            *("--timeout", "30s", "-s", str(script), load.url),
        ],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"LC_ALL": "C"},
    )
    found = re.search(r"^figures: (.*)$", done.stdout, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"wrk has failed: {done.stdout}{done.stderr}")
    figures = json.loads(found[1])
    if figures["errors"] or not figures["requests"]:
        raise RuntimeError(f"{load.url}: {figures['errors']} of {figures['requests']} failed")
    return Speed(figures["requests"] / figures["us"] * 1e6, figures["median"])


_SCRIPT = """
local bodies, at = {}, 0
local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local random = io.open("/dev/urandom", "rb")
for number = 1, count do
  local file = assert(io.open(folder .. "/" .. number .. ".body", "rb"))
  bodies[number] = file:read("*a")
  file:close()
end

local function renewed(body)
  if length == 0 then return body end
  local fresh = random:read(length):gsub(".", function(byte)
    local place = byte:byte() % 64 + 1
    return alphabet:sub(place, place)
  end)
  return body:sub(1, first) .. fresh .. body:sub(first + length + 1)
end

function request()
  at = at + 1
  if count == 0 then
    return wrk.format("GET", paths[at % #paths + 1])
  end
  return wrk.format("POST", nil, nil, renewed(bodies[at % count + 1]))
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('figures: {"requests": %d, "us": %d, "median": %d, "errors": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50),
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
"""
