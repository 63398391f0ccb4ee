"""What all benches share: sides measured in turn, tables in Markdown, and the command line.

The sides take turns, so that other load on the machine affects all of them alike. Then ratios are
steady even if absolute figures are not.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """How much to measure."""

    passes: int
    seconds: float  # of one side in one pass
    quick: bool  # only check that it runs: the figures mean nothing


@dataclass(frozen=True, slots=True)
class Spread:
    """The median, the minimum and the maximum of the passes' values."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Return the spread of at least one value."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])

    def __format__(self, spec: str) -> str:
        """Return ``median (least to most)``, each with ``spec``."""
        return f"{self.median:{spec}} ({self.least:{spec}} to {self.most:{spec}})"


@dataclass(frozen=True, slots=True)
class Table:
    """A table. Its first column is text, aligned left; the others are figures."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str

    def __str__(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(len(line[at]) for line in lines) for at in range(len(self.columns))]
        marks = ["-" * (width - (at > 0)) + ":" * (at > 0) for at, width in enumerate(widths)]
        shown = [_line(line, widths) for line in (self.columns, marks, *self.rows)]
        return "\n".join([self.title, "", *shown])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if at else cell.ljust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |"


def in_turn(sides: Mapping[str, Callable[[], T]], passes: int) -> dict[str, list[T]]:
    """In each pass, measure every side once, one after the other; return each side's figures."""
    taken: dict[str, list[T]] = {name: [] for name in sides}
    for _ in range(passes):
        for name, measure in sides.items():
            taken[name].append(measure())
    return taken


def machine() -> str:
    """Describe the machine and its load."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")]
    return (
        f"{len(os.sched_getaffinity(0))} cores of {models[0] if models else 'an unnamed processor'}"
        f", Python {platform.python_version()}, {time.strftime('%Y-%m-%d', time.gmtime())}, "
        f"load {os.getloadavg()[0]:.1f} at the end"
    )


def run(
    name: str,
    measure: Callable[[Options], Sequence[Table]],
    doc: str | None,
    *,
    passes: int,
    seconds: float,
) -> None:
    """Measure as the command line says; print the tables and keep them in bench/results.

    ``passes`` and ``seconds`` are the command line's defaults.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--passes", type=int, default=passes, help=f"{passes} unless given")
    parser.add_argument("--seconds", type=float, default=seconds, help=f"{seconds} unless given")
    parser.add_argument("--quick", action="store_true", help="only check that it runs")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the figures")
    given = parser.parse_args()
    options = Options(given.passes, given.seconds, quick=False)
    tables = measure(Options(1, 1, quick=True) if given.quick else options)
    text = "\n\n".join([*map(str, tables), f"Machine: {machine()}."])
    print(text)
    given.results.mkdir(parents=True, exist_ok=True)
    kept = {"bench": name, "text": text}
    (given.results / f"{name}.json").write_text(json.dumps(kept, ensure_ascii=False), "utf-8")
