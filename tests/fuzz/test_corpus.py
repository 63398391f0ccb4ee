"""Runs the readers' checks on inputs that once led a fuzzer to new code or to a bug."""

import importlib
from pathlib import Path

import pytest

from tests.fuzz.readers import READERS

CORPUS = Path(__file__).parent / "corpus"
INPUTS = sorted(path for path in CORPUS.rglob("*") if path.is_file())

# pytest puts the warning filters of a running sidecar aside.
pytestmark = pytest.mark.filterwarnings(r"ignore::UserWarning:PIL\.")


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_must_hold_for_any_bytes_holds(path: Path) -> None:
    importlib.import_module(f"tests.fuzz.readers.{path.parent.name}").check(path.read_bytes())


def test_every_reader_has_inputs_and_they_are_few_and_small() -> None:
    assert {path.parent.name for path in INPUTS} == set(READERS)
    for reader in READERS:
        mine = [path for path in INPUTS if path.parent.name == reader]
        assert 2 < len(mine) <= 60
        assert max(path.stat().st_size for path in mine) <= 2048
