"""The output of commands: bars on a terminal, lines in a log, tables, and no control characters."""

import io
import json
import os
import pty
import subprocess
import sys
from operator import itemgetter

import pytest
from jan_media.commands import terminal
from jan_media.commands.entry import printable
from jan_media.commands.terminal import print_json, print_results, progress

from tests.support.waiting import wait_until

# Counts to 30 as a command would, and prints a result in the middle.
COUNTING = """
import time
from jan_media.commands.terminal import progress
done = 0
with progress(30, lambda: done, lambda: "some bytes"):
    for done in range(1, 31):
        time.sleep(0.02)
        if done == 15:
            print("a result", flush=True)
"""


def read_to_the_end(descriptor: int) -> str:
    """Return all that a program writes to a terminal until it has closed it."""
    pieces = []
    while True:
        try:
            piece = os.read(descriptor, 4096)
        except OSError:  # how Linux says that nobody holds the other side any more
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces).decode()


def test_on_a_terminal_there_is_a_bar_with_rate_and_time_and_results_go_to_their_pipe() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", COUNTING],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    ) as counting:
        os.close(theirs)
        shown = read_to_the_end(ours)
        os.close(ours)
        assert counting.stdout is not None
        assert counting.stdout.read() == b"a result\n"
    assert counting.returncode == 0
    assert "━" in shown
    assert "30 of about 30 ids" in shown
    assert "/s" in shown
    assert "0:00:0" in shown
    assert "some bytes" in shown


def test_elsewhere_there_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "LINE_EVERY", 0.01)
    counts = iter([0, 5, *[10] * 10_000])
    asked: list[int] = []

    def done() -> int:
        asked.append(next(counts))
        return asked[-1]

    with progress(10, done, lambda: "3 copied", unit="objects"):
        wait_until(lambda: len(asked) >= 3)
    first, second, *_, last = capsys.readouterr().err.splitlines()
    assert first == "0 of about 10 objects, 3 copied"
    assert second.startswith("5 of about 10 objects, 3 copied, ")
    assert second.endswith(" s left")
    assert "10 of about 10" in last
    assert "left" not in last


def test_a_table_has_heads_and_is_never_cut_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    keys = [("key_1", "o" * 300), ("key_22", "[red]ann[/red]\x1b[2J")]
    print_results(keys, {"ID": itemgetter(0), "OWNER": itemgetter(1)}, as_json=False)
    heads, *lines = capsys.readouterr().out.splitlines()
    assert heads.split() == ["ID", "OWNER"]
    assert [line.split() for line in lines] == [
        ["key_1", "o" * 300],
        ["key_22", "[red]ann[/red]�[2J"],
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\tand ünïcode 图", "two\nlines\tand ünïcode 图"),
        ("\x1b[31mred\x1b]0;title\x07", "�[31mred�]0;title�"),
        ("\x9b2J", "�2J"),
        ("over\rwritten", "overwritten"),
    ],
)
def test_no_text_controls_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "图"})
    assert json.load(io.StringIO(capsys.readouterr().out)) == {"name": "图"}
