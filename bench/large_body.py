"""A large body with one id, through the plugin and the Lua of kong.yml: its parts, and their sum.

``python -m bench.large_body`` plays kong.yml's LLM route over the protocol, with LuaJIT for Kong's
part of it. The sum is what the project itself costs. What comes on top is Kong's: reading the body
from the client and sending it to the plugin (about 3 ms for 1 MiB) and on to the model.
"""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.chat import body_with_inline_image, chat_body, chat_headers
from bench.command import Options, run
from bench.figures import Spread, in_turn
from bench.kong_yml import PlayedRoute, route
from bench.media import sidecar_with_media
from bench.processes import Processes
from bench.report import Result, Table
from tests.support.kong_driver import (
    KongDriver,
    PluginServerProcess,
    ScriptedRequest,
    running_plugin_server,
)

MIB = 1024 * 1024
TARGET_MS = 150  # of a body of 10 MiB
BODIES: dict[str, Callable[[str], bytes]] = {
    "1 MiB, an inline image": lambda media_id: body_with_inline_image([media_id], MIB),
    "10 MiB, an inline image": lambda media_id: body_with_inline_image([media_id], 10 * MIB),
    "10 MiB, a long conversation": lambda media_id: chat_body([media_id], 10 * MIB),
    "31 MiB, an inline image": lambda media_id: body_with_inline_image([media_id], 31 * MIB),
}


@dataclass(frozen=True, slots=True)
class Parts:
    """Processor time of one request, milliseconds."""

    before: float
    plugin: float
    after: float

    @property
    def all(self) -> float:
        """Their sum."""
        return self.before + self.plugin + self.after


def measure(options: Options) -> Result:
    """Send each body in turn."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sidecar = stack.enter_context(sidecar_with_media(1))
        server = stack.enter_context(
            running_plugin_server(folder, ["-m", "jan_media_plugin"], "jan-media.sock")
        )
        kong = stack.enter_context(KongDriver(server.path, plugin="jan-media"))
        llm = route("llm", sidecar)
        (media_id,) = sidecar.ids
        repeats = 1 if options.quick else 10
        chosen = list(BODIES)[:1] if options.quick else list(BODIES)

        def side(name: str) -> Callable[[], Parts]:
            body = BODIES[name](media_id)
            headers = chat_headers(sidecar.token, body)
            send = _sender(kong, llm, ScriptedRequest(headers, body=body), media_id)
            send()  # fills the caches
            return lambda: _parts(server, send, repeats)

        taken = in_turn({name: side(name) for name in chosen}, options.passes)
    return _result(taken)


Lua = tuple[float, float]


def _sender(
    kong: KongDriver, llm: PlayedRoute, request: ScriptedRequest, media_id: str
) -> Callable[[], Lua]:
    kept_before, kept_after = request.body.split(media_id.encode())

    def send() -> Lua:
        played = llm.play(kong, request)
        sent_on = request.body_set or b""
        if not (sent_on.startswith(kept_before) and sent_on.endswith(kept_after)):
            raise RuntimeError(f"the body was not put together: {played.outcome}")
        return played.before_seconds, played.after_seconds

    return send


def _parts(server: PluginServerProcess, send: Callable[[], Lua], repeats: int) -> Parts:
    processes = Processes(server.pid)
    before = processes.cpu_seconds()
    lua = [send() for _ in range(repeats)]
    plugin = (processes.cpu_seconds() - before) / repeats
    first, last = (sum(each) / repeats for each in zip(*lua, strict=True))
    return Parts(first * 1e3, plugin * 1e3, last * 1e3)


def _result(taken: dict[str, list[Parts]]) -> Result:
    rows, figures = [], {}
    for name, passes in taken.items():
        parts = {
            "Lua before": Spread.of(each.before for each in passes),
            "plugin": Spread.of(each.plugin for each in passes),
            "Lua after": Spread.of(each.after for each in passes),
            "all": Spread.of(each.all for each in passes),
        }
        rows.append([name, *(f"{spread:.1f}" for spread in parts.values())])
        figures[name] = {part: spread.as_json() for part, spread in parts.items()}
    table = Table(
        ["body with one id", "Lua before, ms", "plugin, ms", "Lua after, ms", "all, ms"],
        rows,
        f"Processor time of one request. The target for 10 MiB is {TARGET_MS} ms in all.",
    )
    return Result("large_body", [table], figures)


if __name__ == "__main__":
    run(measure, __doc__, passes=3, seconds=0)
