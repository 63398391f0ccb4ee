"""The plugin's own URL cache under simulated traffic, against the closed form of `cache_model`.

``python -m bench.simulation`` asks a real `BoundedCache`, whose clock is the simulation's, for ids
of Zipf popularity at random moments, on one node and on several that take requests in turn by
chance.
"""

import functools
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass

from jan_media_plugin.bounded_cache import BoundedCache

from bench.cache_model import hit_rate, zipf
from bench.command import Options, run
from bench.figures import Spread, in_turn
from bench.report import Result, Table


@dataclass(frozen=True, slots=True)
class Traffic:
    """Questions about ids to one site."""

    objects: int
    skew: float
    rate: float
    """Of the whole site, a second."""
    nodes: int
    size: int
    """Of each node's cache."""
    life: float = 150.0
    """Seconds: half of the five minutes that a URL lives unless told otherwise."""

    def expected(self) -> float:
        """The hit rate in closed form."""
        return hit_rate(
            zipf(self.objects, self.skew),
            rate=self.rate / self.nodes,
            size=self.size,
            life=self.life,
        )


CASES = {
    "time is the limit": Traffic(20_000, 0.9, 50, nodes=1, size=10_000),
    "the same on 4 nodes": Traffic(20_000, 0.9, 50, nodes=4, size=10_000),
    "room is the limit": Traffic(100_000, 0.8, 400, nodes=1, size=2_000),
    "flat popularity": Traffic(10_000, 0.3, 100, nodes=2, size=10_000),
    "few, very popular": Traffic(2_000, 1.2, 20, nodes=1, size=10_000),
}


def simulate(traffic: Traffic, questions: int, seed: int) -> float:
    """The share of hits among ``questions``, once the caches have filled."""
    chance = random.Random(seed)  # noqa: S311
    now = 0.0
    caches = [
        BoundedCache[int, bool](traffic.size, clock=lambda: now) for _ in range(traffic.nodes)
    ]
    weights = (rank**-traffic.skew for rank in range(1, traffic.objects + 1))
    heights = list(itertools.accumulate(weights))
    filling = int(traffic.rate * traffic.life * 2)
    hits = 0
    for number in range(filling + questions):
        now += chance.expovariate(traffic.rate)
        (wanted,) = chance.choices(range(traffic.objects), cum_weights=heights)
        cache = chance.choice(caches)
        if cache.get(wanted):
            hits += number >= filling
        else:
            cache.put(wanted, True, traffic.life)
    return hits / questions


def measure(options: Options) -> Result:
    """Simulate each case with another seed in each pass."""
    questions = 5_000 if options.quick else 100_000
    seeds = itertools.count(1)

    def once(traffic: Traffic) -> float:
        return simulate(traffic, questions, next(seeds))

    sides: dict[str, Callable[[], float]] = {
        name: functools.partial(once, traffic) for name, traffic in CASES.items()
    }
    taken = in_turn(sides, options.passes)
    rows, figures = [], {}
    for name, traffic in CASES.items():
        simulated, expected = Spread.of(taken[name]), traffic.expected()
        rows.append(
            [
                name,
                f"{traffic.objects:,}",
                f"{traffic.skew}",
                f"{traffic.rate:,.0f} on {traffic.nodes}",
                f"{traffic.size:,}",
                f"{simulated:.3f}",
                f"{expected:.3f}",
            ]
        )
        figures[name] = {"simulated": simulated.as_json(), "closed_form": expected}
    table = Table(
        ["case", "objects", "skew", "ids/s on nodes", "room", "hit rate, simulated", "closed form"],
        rows,
        f"{questions:,} questions in each pass.",
    )
    return Result("simulation", [table], figures)


if __name__ == "__main__":
    run(measure, __doc__, passes=3, seconds=0)
