"""Every bench runs alone, and its commands in the docs are real."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import BENCHES, PAGE, SHOWN
from bench.report import ROOT

# The benches of the sidecar start PostgreSQL and Ceph; `make bench` runs them.
QUICK = [name for name in BENCHES if not name.startswith("sidecar")]
MODULE = re.compile(r"python -m (bench(?:\.\w+)?)")


@pytest.mark.parametrize("name", QUICK)
def test_it_prints_a_table_and_keeps_it(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", "--quick", "--results", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / f"{name}.json").read_text("utf-8"))
    assert kept["bench"] == name
    assert kept["text"] in done.stdout
    assert "| -" in kept["text"]


def test_every_bench_of_make_bench_is_there() -> None:
    assert [name for name in BENCHES if not (ROOT / "bench" / f"{name}.py").exists()] == []


def test_the_commands_that_the_page_names_exist() -> None:
    modules = set(MODULE.findall(PAGE.read_text("utf-8")))
    assert modules
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_every_table_that_the_page_shows_has_a_bench_that_makes_it() -> None:
    shown = [found[2] for found in SHOWN.finditer(PAGE.read_text("utf-8"))]
    assert shown
    assert set(shown) <= set(BENCHES)
