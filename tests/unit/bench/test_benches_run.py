"""Every bench runs alone, and its commands in the docs are real."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import BENCHES, PAGES
from bench.report import ROOT

# bench.sidecar starts PostgreSQL and Ceph; `make bench` runs its short form.
QUICK = [name for name in BENCHES if name != "sidecar"]
MODULE = re.compile(r"python -m (bench(?:\.\w+)?)")


@pytest.mark.parametrize("name", QUICK)
def test_it_prints_tables_and_writes_its_figures(name: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", "--quick", "--json", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text("utf-8"))
    assert result["bench"] == name
    assert result["figures"]
    assert result["text"] in done.stdout
    assert "| -" in result["text"]


def test_every_bench_of_make_bench_is_there() -> None:
    assert [name for name in BENCHES if not (ROOT / "bench" / f"{name}.py").exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_the_commands_that_a_page_names_exist(page: Path) -> None:
    modules = set(MODULE.findall(page.read_text("utf-8")))
    assert modules
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_every_table_that_a_page_shows_has_a_bench_that_makes_it(page: Path) -> None:
    text = page.read_text("utf-8")
    shown = re.findall(r"<!-- bench: (\w+) -->", text)
    assert shown
    assert set(shown) <= {*BENCHES, "profile"}  # which needs to be root
    assert text.count("<!-- end of bench -->") == len(shown)
