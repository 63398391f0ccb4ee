"""A bench's result: tables for people, in Markdown, and a file of figures for programs."""

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"


@dataclass(frozen=True, slots=True)
class Table:
    """Columns after the first ``texts`` are set to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    texts: int = 1

    def __str__(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(len(line[at]) for line in lines) for at in range(len(self.columns))]
        marks = [
            "-" * width if at < self.texts else "-" * (width - 1) + ":"
            for at, width in enumerate(widths)
        ]
        text = [self._line(self.columns, widths), self._line(marks, widths)]
        text += [self._line(row, widths) for row in self.rows]
        return "\n".join([*([self.title, ""] if self.title else []), *text])

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        padded = [
            cell.ljust(width) if at < self.texts else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"


def machine() -> str:
    """Say what this ran on, and how busy that was with other things."""
    model = "an unnamed processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = len(os.sched_getaffinity(0))
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return (
        f"{cores} cores of {model}, Linux, Python {platform.python_version()}, {day}, "
        f"load {os.getloadavg()[0]:.1f} at the end"
    )


@dataclass(frozen=True, slots=True)
class Result:
    """What a bench has measured."""

    name: str
    tables: Sequence[Table]
    figures: Any
    """Plain numbers, for the file."""
    machine: str = field(default_factory=machine)

    def __str__(self) -> str:
        return "\n\n".join([*map(str, self.tables), f"Machine: {self.machine}."])

    def write(self, file: Path) -> None:
        """Write figures and tables as JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "bench": self.name,
            "machine": self.machine,
            "figures": self.figures,
            "text": str(self),
        }
        file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
