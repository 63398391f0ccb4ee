"""A capacity model: what 1, 100 and 10,000 chat requests a second need, and what gives out first.

``python -m bench.capacity`` reckons with what the other benches measured last (bench/results), and
with figures of an earlier run where one has not run. docs/scaling.md explains the model.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

from bench.cache_model import entries, hit_rate, zipf
from bench.command import Options, run
from bench.report import RESULTS, Result, Table

DAY = 24 * 3600


@dataclass(frozen=True, slots=True)
class Mix:
    """What requests are like: assumptions, to be replaced by what an operator sees."""

    with_ids: float = 0.3  # of the chat requests
    ids: int = 3  # in each of those
    uploads: float = 0.04  # for each chat request, of new content
    bytes_each: float = 500e3
    retention_days: int = 30
    skew: float = 0.9  # of Zipf's law: how unevenly media is wanted
    life: float = 150.0  # seconds that the plugin keeps a URL: half of MEDIA_S3_PRESIGN_TTL
    room: int = 10_000  # url_cache_size
    busy: float = 0.6  # how much of a core is planned for


@dataclass(frozen=True, slots=True)
class Costs:
    """Processor time in µs, and bytes: measured."""

    kong_request: float = 30  # docs/performance.md, "Kong's side": plain proxying
    kong_call: float = 45  # one PDK call
    calls: int = 2  # of a chat request
    plugin_no_id: float = 60
    plugin_cached: float = 110  # with ids, all of them known
    plugin_ask: float = 1500  # more, when the sidecar has to be asked
    sidecar_ask: float = 280  # one resolve of a few ids
    sidecar_upload: float = 4800  # of 50 KB, stored in S3
    catalog_bytes: float = 1254  # for each id, PostgreSQL
    url_bytes: float = 725  # for each URL that the plugin knows
    plugin_mib: float = 49
    worker_mib: float = 107

    @classmethod
    def measured(cls) -> "Costs":
        """Of the last results, as far as there are any."""
        found: dict[str, float] = {}
        handler = _figures("handler")
        if handler:
            found |= {
                "calls": len(handler["chat without ids"]["pdk_calls"]),
                "plugin_no_id": handler["chat without ids"]["processor_us"]["median"],
                "plugin_cached": handler["chat, 1 id, cached"]["processor_us"]["median"],
            }
            cold = handler["chat, 1 id, cold"]["processor_us"]["median"]
            found["plugin_ask"] = cold - found["plugin_cached"]
        weights = (_figures("keeping") or {}).get("weights", {})
        names = {
            "PostgreSQL, bytes for each id": "catalog_bytes",
            "plugin, bytes for each known URL": "url_bytes",
            "plugin server, idle, MiB": "plugin_mib",
            "sidecar with one worker, idle, MiB": "worker_mib",
        }
        found |= {field: weights[name] for name, field in names.items() if name in weights}
        sidecar = _figures("sidecar") or {}
        kinds = {
            "internal resolve, 1 id": "sidecar_ask",
            "upload, new 50 KB image": "sidecar_upload",
        }
        found |= {
            field: _median(sidecar[kind]["cpu_microseconds"])
            for kind, field in kinds.items()
            if kind in sidecar
        }
        return cls(**found)  # type: ignore[arg-type]


def _figures(bench: str) -> dict[str, Any] | None:
    file = RESULTS / f"{bench}.json"
    if not file.exists():
        return None
    content = json.loads(file.read_text("utf-8"))
    figures: dict[str, Any] = content.get("figures", content)
    return figures


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


@dataclass(frozen=True, slots=True)
class Need:
    """What ``rate`` chat requests a second need."""

    rate: float
    objects: float
    nodes: int
    """Gateway nodes, so that no plugin server is busier than planned; two from 100/s on."""
    hit_rate: float
    one_hour_hit_rate: float
    conversation_hit_rate: float
    asks: float
    """Resolve questions to the sidecar, a second."""
    plugin_busy: float
    """Of the one core that each node's plugin server can use."""
    kong_cores: float
    sidecar_workers: int
    catalog_reads: float
    catalog_writes: float
    puts: float
    media_bytes: float
    """That models fetch, a second."""
    plugin_mib: float
    catalog_bytes: float
    stored_bytes: float


def need(rate: float, mix: Mix, costs: Costs) -> Need:
    """Work one step through."""
    uploads = rate * mix.uploads
    objects = max(1.0, uploads * mix.retention_days * DAY)
    popularity = zipf(int(objects), mix.skew)
    ids = rate * mix.with_ids * mix.ids
    nodes = 1 if rate < 100 else 2
    while True:
        hits = hit_rate(popularity, rate=ids / nodes, size=mix.room, life=mix.life)
        asks = rate * mix.with_ids * (1 - hits**mix.ids)
        plugin = _plugin_cores(rate, asks, mix, costs) / nodes
        if plugin <= mix.busy:
            break
        nodes += 1
    known = min(mix.room, entries(popularity, rate=ids / nodes, stay=mix.life))
    sidecar = asks * costs.sidecar_ask + uploads * costs.sidecar_upload
    return Need(
        rate=rate,
        objects=objects,
        nodes=nodes,
        hit_rate=hits,
        one_hour_hit_rate=hit_rate(popularity, rate=ids / nodes, size=10**6, life=1800),
        conversation_hit_rate=_returning(mix.life, 30, nodes),
        asks=asks,
        plugin_busy=plugin,
        kong_cores=rate * _kong_us(costs) / 1e6 / mix.busy,
        sidecar_workers=max(1 if rate < 100 else 2, math.ceil(sidecar / 1e6 / mix.busy)),
        catalog_reads=asks + uploads,
        catalog_writes=2 * uploads,
        puts=uploads,
        media_bytes=ids * mix.bytes_each,
        plugin_mib=costs.plugin_mib + known * costs.url_bytes / 2**20,
        catalog_bytes=objects * costs.catalog_bytes,
        stored_bytes=objects * mix.bytes_each,
    )


def _plugin_cores(rate: float, asks: float, mix: Mix, costs: Costs) -> float:
    plain = rate * (1 - mix.with_ids) * costs.plugin_no_id
    rewritten = rate * mix.with_ids * costs.plugin_cached
    return (plain + rewritten + asks * costs.plugin_ask) / 1e6


def _kong_us(costs: Costs) -> float:
    return costs.kong_request + costs.calls * costs.kong_call


def _returning(life: float, seconds: float, nodes: int) -> float:
    """Hits on an id that comes back about every ``seconds``, to a node by chance."""
    expected = life / seconds / nodes
    return expected / (1 + expected)


def measure(options: Options) -> Result:
    """Work the three steps through."""
    mix, costs = Mix(), Costs() if options.quick else Costs.measured()
    needs = [need(rate, mix, costs) for rate in (1, 100, 10_000)]
    figures = {
        str(each.rate): {name: getattr(each, name) for name in Need.__slots__} for each in needs
    }
    return Result("capacity", [_costs(costs), _ceilings(mix, costs), _steps(needs)], figures)


def _costs(costs: Costs) -> Table:
    rows = [
        ["Kong, a request as such", f"{costs.kong_request:,.0f} µs"],
        ["Kong, each PDK call", f"{costs.kong_call:,.0f} µs"],
        ["PDK calls of a chat request", f"{costs.calls}"],
        ["plugin, chat without ids", f"{costs.plugin_no_id:,.0f} µs"],
        ["plugin, chat with known ids", f"{costs.plugin_cached:,.0f} µs"],
        ["plugin, more to ask the sidecar", f"{costs.plugin_ask:,.0f} µs"],
        ["sidecar, one such question", f"{costs.sidecar_ask:,.0f} µs"],
        ["sidecar, one new upload", f"{costs.sidecar_upload:,.0f} µs"],
    ]
    return Table(["processor time", "each"], rows, "What the model reckons with.")


def _ceilings(mix: Mix, costs: Costs) -> Table:
    """How many chat requests a second of the mix one of each can carry, flat out."""
    plugin = _plugin_cores(1, 0, mix, costs)
    plugin_cold = _plugin_cores(1, mix.with_ids, mix, costs)
    rows = [
        ["a Kong worker (one core)", f"{1e6 / _kong_us(costs):,.0f}"],
        ["a plugin server (one core), all ids known", f"{1 / plugin:,.0f}"],
        ["a plugin server (one core), no id known", f"{1 / plugin_cold:,.0f}"],
        [
            "a sidecar worker (one core), no id known, uploads as they come",
            f"{1e6 / (mix.with_ids * costs.sidecar_ask + mix.uploads * costs.sidecar_upload):,.0f}",
        ],
        [
            "a 10 Gbit/s link from the storage to the models",
            f"{1.25e9 / (mix.with_ids * mix.ids * mix.bytes_each):,.0f}",
        ],
    ]
    return Table(["one of these", "carries chat requests/s"], rows, "Where each gives out.")


def _steps(needs: list[Need]) -> Table:
    rows = {
        "ids alive": [_count(each.objects) for each in needs],
        "gateway nodes": [str(each.nodes) for each in needs],
        "plugin server's core, busy": [f"{each.plugin_busy:.1%}" for each in needs],
        "Kong's cores, all nodes": [f"{each.kong_cores:.2g}" for each in needs],
        "URL cache hits, Zipf": [f"{each.hit_rate:.0%}" for each in needs],
        "the same, URLs of an hour and room for all": [
            f"{each.one_hour_hit_rate:.0%}" for each in needs
        ],
        "hits, ids that come back each 30 s": [
            f"{each.conversation_hit_rate:.0%}" for each in needs
        ],
        "questions to sidecars /s": [_count(each.asks) for each in needs],
        "sidecar workers": [str(each.sidecar_workers) for each in needs],
        "catalog reads /s": [_count(each.catalog_reads) for each in needs],
        "catalog writes /s": [_count(each.catalog_writes) for each in needs],
        "S3 PUT and DELETE /s, each": [_count(each.puts) for each in needs],
        "media to the models": [_bytes(each.media_bytes) + "/s" for each in needs],
        "plugin server's memory": [f"{each.plugin_mib:.0f} MiB" for each in needs],
        "catalog": [_bytes(each.catalog_bytes) for each in needs],
        "storage": [_bytes(each.stored_bytes) for each in needs],
    }
    return Table(
        ["chat requests/s", *(f"{each.rate:,}" for each in needs)],
        [[name, *cells] for name, cells in rows.items()],
        "What each step needs.",
    )


def _count(number: float) -> str:
    for size, unit in ((1e9, " billion"), (1e6, " million")):
        if number >= size:
            return f"{number / size:.2f}{unit}"
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _bytes(number: float) -> str:
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number / 1e3:,.0f} kB"


if __name__ == "__main__":
    run(measure, __doc__, passes=1, seconds=0)
