"""What the plugin itself costs: kong.yml's routes through the protocol driver, a sidecar behind.

``python -m bench.handler`` plays each kind of request once to learn its PDK calls, then loads the
plugin server with it, over 8 connections for its processor time and over one for its latency.
"""

import functools
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.chat import chat_body, chat_headers, upload_headers
from bench.command import Options, run
from bench.figures import Spread, in_turn
from bench.kong_yml import PlayedRoute, route
from bench.media import BenchSidecar, sidecar_with_media
from bench.report import Result, Table
from bench.served import Cost, cost_of
from tests.support.kong_driver import (
    STEPS,
    KongDriver,
    PluginServerProcess,
    ScriptedRequest,
    running_plugin_server,
)
from tests.support.kong_load import Script

CONNECTIONS = 8
MOST_IDS = 64
LUA_RUNS = 50


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of request; each lane of the load sends another of ``requests``."""

    name: str
    route: PlayedRoute
    requests: Sequence["LearningRequest"]
    ends: str = "passed"
    """How, as the driver's `Outcome` calls it."""


@dataclass
class LearningRequest(ScriptedRequest):
    """Notes what Kong returned to the plugin."""

    returned: list[Any] = field(default_factory=list)

    def answer(self, method: str, args: list[Any]) -> Any:
        """Answer, and note it."""
        result = super().answer(method, args)
        self.returned.append(result)
        return result


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one kind in one pass."""

    busy: Cost
    alone: Cost
    lua_us: float
    """Processor time of the route's own Lua, which runs in Kong."""


def measure(options: Options) -> Result:
    """Load the plugin server with each kind in turn."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sidecar = stack.enter_context(sidecar_with_media(MOST_IDS * CONNECTIONS))
        server = stack.enter_context(
            running_plugin_server(folder, ["-m", "jan_media_plugin"], "jan-media.sock")
        )
        kong = stack.enter_context(KongDriver(server.path, plugin="jan-media"))
        kinds = kinds_of(sidecar)
        scripts = {kind.name: [learn(kong, kind, each) for each in kind.requests] for kind in kinds}
        sides = {
            kind.name: functools.partial(
                _loaded, server, kong, kind, scripts[kind.name], options.seconds / 2
            )
            for kind in kinds
        }
        taken = in_turn(sides, options.passes)
    return _result(taken, {name: script[0] for name, script in scripts.items()})


def kinds_of(sidecar: BenchSidecar) -> list[Kind]:
    """From a refusal to 64 ids that nobody has asked for before."""
    media, llm = route("media", sidecar), route("llm", sidecar)
    # Without a cache every id is cold every time. Each lane has ids of its own, since lanes that
    # ask for one id at the same time would share one question.
    cold = route("llm", sidecar, url_cache_size=0)

    def chat(count: int, lane: int, token: str | None = sidecar.token) -> LearningRequest:
        body = chat_body(sidecar.ids[lane * count : (lane + 1) * count])
        return LearningRequest(headers=chat_headers(token, body), body=body)

    def lanes(count: int) -> list[LearningRequest]:
        return [chat(count, lane) for lane in range(CONNECTIONS)]

    return [
        Kind("refusal: no token", llm, [chat(0, 0, token=None)], ends="exited"),
        Kind("admitted media request", media, [LearningRequest(upload_headers(sidecar.token))]),
        Kind("chat without ids", llm, [chat(0, 0)]),
        Kind("chat, 1 id, cached", llm, [chat(1, 0)]),
        Kind("chat, 8 ids, cached", llm, [chat(8, 0)]),
        Kind("chat, 1 id, cold", cold, lanes(1)),
        Kind("chat, 8 ids, cold", cold, lanes(8)),
        Kind(f"chat, {MOST_IDS} ids, cold", cold, lanes(MOST_IDS)),
    ]


def learn(kong: KongDriver, kind: Kind, request: LearningRequest) -> Script:
    """Play ``request`` twice, the first time to fill the caches; return the second as a script."""
    kind.route.play(kong, request)
    request.calls.clear()
    request.returned.clear()
    outcome = kind.route.play(kong, request).outcome
    if outcome.kind != kind.ends:
        raise RuntimeError(f"{kind.name}: {outcome}")
    answered = len(request.returned)
    steps = zip(request.calls[:answered], request.returned, strict=True)
    return Script.of(
        *((method, STEPS.get(method, "plugin.Step"), result) for method, result in steps),
        last="".join(request.calls[answered:]),
    )


def _loaded(
    server: PluginServerProcess,
    kong: KongDriver,
    kind: Kind,
    scripts: Sequence[Script],
    seconds: float,
) -> Figures:
    instance = kong.start_instance(kind.route.config)
    busy = cost_of(server, instance, *scripts, connections=CONNECTIONS, seconds=seconds)
    alone = cost_of(server, instance, *scripts, connections=1, seconds=seconds)
    played = [kind.route.play(kong, kind.requests[0]) for _ in range(LUA_RUNS)]
    lua = statistics.median(each.before_seconds + each.after_seconds for each in played)
    return Figures(busy, alone, lua * 1e6)


def _result(taken: dict[str, list[Figures]], scripts: dict[str, Script]) -> Result:
    rows, figures = [], {}
    for name, passes in taken.items():
        processor = Spread.of(each.busy.processor_us for each in passes)
        rate = Spread.of(each.busy.rate for each in passes)
        latency = Spread.of(1e6 / each.alone.rate for each in passes)
        lua = Spread.of(each.lua_us for each in passes)
        script = scripts[name]
        made = [*script.calls, script.last] if script.last else script.calls
        calls = [call.removeprefix("kong.") for call in made]
        rows.append(
            [
                name,
                str(len(calls)),
                f"{processor:.0f}",
                f"{lua.median:.0f}",
                f"{rate:,.0f}",
                f"{latency:,.0f}",
            ]
        )
        figures[name] = {
            "pdk_calls": calls,
            "processor_us": processor.as_json(),
            "lua_us": lua.as_json(),
            "rate": rate.as_json(),
            "latency_us": latency.as_json(),
        }
    table = Table(
        [
            *("request", "PDK calls", "plugin's µs CPU", "Lua's µs"),
            *("events/s, 8 connections", "µs, 1 connection"),
        ],
        rows,
        "The plugin server alone, its caches warm, bodies of 2 KB (more with many ids).",
    )
    pdk = Table(
        ["request", "PDK calls, in order"],
        [[name, ", ".join(entry["pdk_calls"])] for name, entry in figures.items()],
        texts=2,
    )
    return Result("handler", [table, pdk], figures)


if __name__ == "__main__":
    run(measure, __doc__, passes=5, seconds=1)
