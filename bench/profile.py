"""Where the plugin server's time goes: a sampling profile of three kinds of request under load.

``python -m bench.profile`` loads the plugin server as `bench.handler` does and samples it with
py-spy, which has to be root or needs kernel.yama.ptrace_scope=0, so `make bench` leaves it out. A
sample counts for the innermost frame that belongs to a part of the table.
"""

import collections
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.command import Options, run
from bench.handler import CONNECTIONS, MOST_IDS, kinds_of, learn
from bench.media import sidecar_with_media
from bench.report import Result, Table
from bench.served import cost_of
from tests.support.kong_driver import KongDriver, running_plugin_server

OTHER = "other"
_WATCHING = "server/stall.py"  # a thread that sleeps; py-spy takes it for busy
# The first that matches a frame's file wins.
PARTS = [
    ("HTTP to the sidecar", r"jan_media_plugin/resolve/(http|sidecar)|httptools"),
    ("rewrite: find and replace ids", r"jan_media_plugin/rewrite|jan_media/media_id"),
    ("media_in_body", r"jan_media_plugin/media_in_body"),
    ("resolve: caches, the question", r"jan_media_plugin/(resolve|single_flight)"),
    ("auth: whose credential", r"jan_media_plugin/(auth|bounded_cache)"),
    ("headers: read, check, set", r"jan_media_plugin/headers"),
    ("handler", r"jan_media_plugin/handler"),
    ("answers", r"jan_media_plugin/answers"),
    ("PDK functions, events", r"jan_media_plugin/server/(pdk|event|wait)|kong_pdk"),
    ("MsgPack and sockets", r"jan_media_plugin/server/(connection|wire|listener)|msgpack"),
    ("event loop, the rest of the server", r"jan_media_plugin/server|asyncio|uvloop|^<|runpy"),
]


KINDS = ("chat without ids", "chat, 1 id, cached", "chat, 1 id, cold")


def measure(options: Options) -> Result:
    """Profile each kind once."""
    shared: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sidecar = stack.enter_context(sidecar_with_media(MOST_IDS * CONNECTIONS))
        server = stack.enter_context(
            running_plugin_server(folder, ["-m", "jan_media_plugin"], "jan-media.sock")
        )
        kong = stack.enter_context(KongDriver(server.path, plugin="jan-media"))
        kinds = {kind.name: kind for kind in kinds_of(sidecar)}
        for name in KINDS:
            scripts = [learn(kong, kinds[name], each) for each in kinds[name].requests]
            instance = kong.start_instance(kinds[name].route.config)
            with _sampling(server.pid, options.seconds, folder / "profile.txt"):
                cost = cost_of(
                    server, instance, *scripts, connections=CONNECTIONS, seconds=options.seconds
                )
            samples = (folder / "profile.txt").read_text()
            shared[name] = {
                part: share * cost.processor_us for part, share in shares_of(samples).items()
            }
    return _result(shared)


@contextmanager
def _sampling(pid: int, seconds: float, file: Path) -> Iterator[None]:
    command = [
        *(str(Path(sys.executable).with_name("py-spy")), "record", "-F", "-r", "500"),
        *("-p", str(pid), "-d", str(max(1, round(seconds))), "-f", "raw", "-o", str(file)),
    ]
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as sampler:
        yield
        problem = sampler.communicate()[1]
    if sampler.returncode:
        raise RuntimeError(f"py-spy has failed: {problem}")


def shares_of(raw: str) -> dict[str, float]:
    """The share of each part in py-spy's raw samples: lines of ``frame;frame;frame count``."""
    samples: collections.Counter[str] = collections.Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        if _WATCHING in stack:
            continue
        samples[_part_of(stack.split(";"))] += int(count)
    return {part: count / samples.total() for part, count in samples.items()}


def _result(shared: dict[str, dict[str, float]]) -> Result:
    names = [name for name, _ in PARTS if any(name in parts for parts in shared.values())]
    rows = [
        [name, *(f"{parts.get(name, 0):.0f}" for parts in shared.values())]
        for name in [*names, OTHER]
    ]
    rows.append(["all", *(f"{sum(parts.values()):.0f}" for parts in shared.values())])
    table = Table(
        ["part", *(f"{kind}, µs" for kind in shared)],
        rows,
        "The plugin server's processor time for one event, by part, under 8 connections.",
    )
    return Result("profile", [table], shared)


def _part_of(stack: list[str]) -> str:
    for frame in reversed(stack):
        file = re.sub(r"^.*\((.*?)(:\d+)?\)$", r"\1", frame)
        for part, pattern in PARTS:
            if re.search(pattern, file):
                return part
    return OTHER


if __name__ == "__main__":
    run(measure, __doc__, passes=1, seconds=8)
