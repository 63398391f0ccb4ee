"""The plot of what rewriting costs: by size of the body, and by number of ids.

``python -m bench.plot`` draws what `bench.rewrite` measured last, as PNG and SVG, into
bench/results; with ``--docs`` into docs, as performance.png and performance.svg.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")

from matplotlib import pyplot
from matplotlib.axes import Axes

from bench.report import RESULTS, ROOT

Series = dict[str, dict[str, float]]
COLOURS = {
    "one id": "#c0392b",
    "one id, edits": "#e67e22",
    "one id after an image": "#8e44ad",
    "no id": "#2471a3",
    "json.loads": "#7f8c8d",
    "copy": "#27ae60",
    "search": "#16a085",
}
REFERENCES = ("json.loads", "copy", "search")
TICKS = {2**10: "1 KiB", 2**14: "16 KiB", 2**18: "256 KiB", 2**20: "1 MiB", 2**25: "32 MiB"}


def draw(figures: dict[str, Any], files: list[Path], caption: str) -> None:
    """Write the plot of `bench.rewrite`'s ``figures`` to ``files``, whose suffixes say the kind."""
    mpl.rcParams.update({"svg.hashsalt": "jan", "font.size": 9, "axes.grid": True})
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.6), width_ratios=(3, 2))
    _by_size(left, figures["by_size"])
    _by_ids(right, figures["by_ids"])
    figure.text(0.01, 0.005, caption, fontsize=6.5, color="#555555")
    figure.tight_layout(rect=(0, 0.025, 1, 1))
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"Date": None} if file.suffix == ".svg" else None
        figure.savefig(file, dpi=130, metadata=metadata)
    pyplot.close(figure)


def _by_size(axes: Axes, series: dict[str, Series]) -> None:
    for name, points in series.items():
        sizes = [int(size) for size in points]
        axes.plot(
            sizes,
            [point["median"] * 1e6 for point in points.values()],
            label=name,
            color=COLOURS.get(name),
            linestyle="--" if name in REFERENCES else "-",
            marker="" if name in REFERENCES else "o",
            markersize=3,
        )
        axes.fill_between(
            sizes,
            [point["least"] * 1e6 for point in points.values()],
            [point["most"] * 1e6 for point in points.values()],
            color=COLOURS.get(name),
            alpha=0.15,
        )
    axes.set(xscale="log", yscale="log", xlabel="size of the body", ylabel="µs of processor time")
    axes.set_xticks(list(TICKS), list(TICKS.values()))
    axes.minorticks_off()
    axes.set_title("Finding and replacing, by size")
    axes.legend(fontsize=7)


def _by_ids(axes: Axes, points: Series) -> None:
    counts = [int(count) for count in points]
    axes.plot(
        counts,
        [point["median"] * 1e3 for point in points.values()],
        color=COLOURS["one id"],
        marker="o",
        markersize=3,
    )
    axes.fill_between(
        counts,
        [point["least"] * 1e3 for point in points.values()],
        [point["most"] * 1e3 for point in points.values()],
        color=COLOURS["one id"],
        alpha=0.15,
    )
    axes.set(xlabel="ids in the body", ylabel="ms of processor time", ylim=(0, None))
    axes.set_title("A body of 1 MiB, by number of ids")


def main() -> None:
    """Draw the last result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--docs", action="store_true", help="draw the plot of docs/performance.md")
    result = json.loads((RESULTS / "rewrite.json").read_text("utf-8"))
    folder, name = (ROOT / "docs", "performance") if parser.parse_args().docs else (RESULTS, "cost")
    files = [folder / f"{name}.{kind}" for kind in ("svg", "png")]
    draw(result["figures"], files, f"python -m bench.rewrite. {result['machine']}.")
    print("drawn:", *(str(file.relative_to(ROOT)) for file in files))


if __name__ == "__main__":
    main()
