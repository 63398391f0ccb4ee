"""docs/security.md names tests that exist, for every threat."""

import re

from demo.kong_settings import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
ROWS = [row for row in re.findall(r"^\| (.+) \|$", PAGE, re.MULTILINE) if "threat |" not in row]
EXISTING = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
}


def test_every_threat_names_a_test() -> None:
    assert len(ROWS) > 20
    assert [row for row in ROWS if "`test_" not in row] == []


def test_every_named_test_exists() -> None:
    assert set(re.findall(r"`(test_\w+)`", PAGE)) - EXISTING == set()
