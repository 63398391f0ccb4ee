"""The output of commands: tables, JSON, and progress.

Results go to stdout: as tables for people, as JSON for scripts. Progress goes to stderr: as a bar
on a terminal; elsewhere, for example in a log, as a line now and then.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from jan_media.commands.entry import printable

T = TypeVar("T")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

REDRAWN_EVERY = 0.2  # seconds, on a terminal
LINE_EVERY = 10.0  # seconds, elsewhere
NO_WRAPPING = 100_000  # columns, for output that no terminal shows


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False), flush=True)


def print_results(
    results: Sequence[T],
    columns: Mapping[str, Callable[[T], object]],
    *,
    as_json: bool,
    quiet: bool = False,
) -> None:
    """Print results as a table, with one column for each function in ``columns``.

    Or as JSON, or, if ``quiet``, only their ids, one per line. Nothing is read as markup.
    """
    if as_json:
        print_json(results)
        return
    if quiet:
        for each in results:
            print(columns["ID"](each))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in columns:
        table.add_column(head, overflow="fold", justify="right" if head == "BYTES" else "left")
    for each in results:
        table.add_row(*(Text(printable(str(cell(each)))) for cell in columns.values()))
    console = Console() if sys.stdout.isatty() else Console(width=NO_WRAPPING, no_color=True)
    console.print(table)


@contextmanager
def progress(
    total: int, done: Callable[[], int], note: Callable[[], str] = lambda: "", *, unit: str = "ids"
) -> Iterator[None]:
    """Show the progress of the block, with rate and time left, until it ends.

    ``done`` returns how many of ``total`` are done, and ``note`` a text to add. Both are called
    from another thread.
    """
    began = time.monotonic()

    def print_line() -> None:
        count = done()
        rate = count / max(time.monotonic() - began, 0.001)
        parts = [f"{count} of about {total} {unit}", note()]
        if count:
            parts.append(f"{rate:.0f} a second")
        if 0 < count < total:
            parts.append(f"{(total - count) / rate:.0f} s left")
        print(", ".join(filter(None, parts)), file=sys.stderr, flush=True)

    if not sys.stderr.isatty():
        with _repeated(print_line, every=LINE_EVERY):
            yield
        return
    # On a terminal, stdout is printed above the bar; into a pipe, it must go directly.
    bar = Progress(
        BarColumn(),
        TextColumn("{task.completed:.0f} of about {task.total:.0f} {task.description}"),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        auto_refresh=False,
        redirect_stdout=sys.stdout.isatty(),
    )
    task = bar.add_task(unit, total=total, note="")

    def redraw() -> None:
        bar.update(task, completed=done(), note=note(), refresh=True)

    with bar, _repeated(redraw, every=REDRAWN_EVERY):
        yield


class _Rate(ProgressColumn):
    """The rate per second."""

    def render(self, task: Any) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.0f}/s")


@contextmanager
def _repeated(report: Callable[[], None], *, every: float) -> Iterator[None]:
    """Call ``report`` now, every few seconds, and at the end."""
    ended = threading.Event()

    def repeat() -> None:
        report()
        while not ended.wait(every):
            report()
        report()

    thread = threading.Thread(target=repeat, name="progress")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
