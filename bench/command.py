"""The command line that benches share."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.report import RESULTS, Result


@dataclass(frozen=True, slots=True)
class Options:
    """How much to measure."""

    passes: int
    seconds: float
    """Of one side in one pass."""
    quick: bool
    """Only see that everything runs: the smallest sizes, and figures that mean nothing."""


def run(
    measure: Callable[[Options], Result], doc: str | None, *, passes: int, seconds: float
) -> None:
    """Measure as the command line says, print the tables, and write the figures.

    ``passes`` and ``seconds`` are what it says unless told otherwise.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--passes", type=int, default=passes, help=f"{passes} unless given")
    parser.add_argument(
        "--seconds", type=float, default=seconds, help=f"of one side in one pass: {seconds}"
    )
    parser.add_argument("--quick", action="store_true", help="only see that it runs")
    parser.add_argument("--json", type=Path, help="the file of figures, bench/results/NAME.json")
    flags = parser.parse_args()
    options = Options(flags.passes, flags.seconds, flags.quick)
    if flags.quick:
        options = Options(1, 0.2, True)
    result = measure(options)
    print(result)
    result.write(flags.json or RESULTS / f"{result.name}.json")
