"""Where the plugin server's time goes: a sampling profile of one kind of request under load.

``python -m bench.profile "chat, 1 id, cached"`` loads the plugin server as `bench.handler` does and
samples it with py-spy (which needs to be root, or kernel.yama.ptrace_scope=0). Each sample counts
for the innermost frame that belongs to a part of the table.
"""

import argparse
import collections
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.handler import CONNECTIONS, MOST_IDS, kinds_of, learn
from bench.media import sidecar_with_media
from bench.report import Table
from bench.served import cost_of
from tests.support.kong_driver import KongDriver, running_plugin_server

# The first that matches a frame's file wins.
PARTS = [
    ("HTTP to the sidecar (httpx, httpcore, h11, anyio)", r"(^|/)(httpx|httpcore|h11|anyio|ssl)\b"),
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


def main() -> None:
    """Profile and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kind", help="a row of bench.handler's table")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--flamegraph", type=Path, help="write an SVG instead of the table")
    flags = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sidecar = stack.enter_context(sidecar_with_media(MOST_IDS * CONNECTIONS))
        server = stack.enter_context(
            running_plugin_server(folder, ["-m", "jan_media_plugin"], "jan-media.sock")
        )
        kong = stack.enter_context(KongDriver(server.path, plugin="jan-media"))
        kinds = {kind.name: kind for kind in kinds_of(sidecar)}
        if flags.kind not in kinds:
            parser.error(f"no such kind; there are: {'; '.join(kinds)}")
        kind = kinds[flags.kind]
        scripts = [learn(kong, kind, each) for each in kind.requests]
        instance = kong.start_instance(kind.route.config)
        raw = folder / "profile.txt"
        shape = ["-f", "flamegraph", "-o", str(flags.flamegraph)] if flags.flamegraph else []
        with subprocess.Popen(  # noqa: S603
            [
                *(str(Path(sys.executable).with_name("py-spy")), "record", "-r", "500"),
                *("-p", str(server.pid), "-d", str(flags.seconds), "-F"),
                *(shape or ["-f", "raw", "-o", str(raw)]),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as sampler:
            cost = cost_of(
                server, instance, *scripts, connections=CONNECTIONS, seconds=flags.seconds
            )
            problem = sampler.communicate()[1]
        if sampler.returncode:
            sys.exit(f"py-spy has failed: {problem}")
        if not flags.flamegraph:
            print(table_of(raw.read_text(), kind.name, cost.processor_us))


def table_of(raw: str, kind: str, processor_us: float) -> Table:
    """Share the processor time of one event out among the parts that the samples name."""
    samples: collections.Counter[str] = collections.Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        samples[_part_of(stack.split(";"))] += int(count)
    total = sum(samples.values())
    rows = [
        [part, f"{count / total:.0%}", f"{count / total * processor_us:.0f}"]
        for part, count in samples.most_common()
    ]
    return Table(["part", "share", "µs"], rows, f"{kind}: {processor_us:.0f} µs CPU an event.")


def _part_of(stack: list[str]) -> str:
    for frame in reversed(stack):
        file = re.sub(r"^.*\((.*?)(:\d+)?\)$", r"\1", frame)
        for part, pattern in PARTS:
            if re.search(pattern, file):
                return part
    return "other"


if __name__ == "__main__":
    main()
