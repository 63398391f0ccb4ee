"""Figures with their spread: medians of several passes, and sides measured in turn.

Taking turns lets whatever else the machine does fall on all sides alike, so that ratios stand where
absolute figures shake.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of what the passes said, and the least and the most of it."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Of at least one value."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])

    def __format__(self, spec: str) -> str:
        """As ``median (least to most)``, each with ``spec``."""
        return f"{self.median:{spec}} ({self.least:{spec}} to {self.most:{spec}})"

    def as_json(self) -> dict[str, float]:
        """For a result file."""
        return {"median": self.median, "least": self.least, "most": self.most}


def in_turn(sides: Mapping[str, Callable[[], T]], passes: int) -> dict[str, list[T]]:
    """Measure every side once in each pass, one after the other; return each side's figures."""
    taken: dict[str, list[T]] = {name: [] for name in sides}
    for _ in range(passes):
        for name, measure in sides.items():
            taken[name].append(measure())
    return taken


@dataclass(slots=True)
class Repeated(Generic[T]):
    """What one call of ``work`` costs this process, in seconds of processor time."""

    work: Callable[[], T]

    def seconds(self, at_least: float) -> float:
        """Repeat it for ``at_least`` seconds of processor time and return one call's share."""
        work = self.work
        calls, rounds = 0, 1
        start = now = time.process_time()
        while now - start < at_least:
            for _ in range(rounds):
                work()
            calls += rounds
            now = time.process_time()
            if now - start < at_least / 8:
                rounds *= 2
        return (now - start) / calls
