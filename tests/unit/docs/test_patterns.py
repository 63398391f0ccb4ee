"""Regular expressions mean the same on every Python that is supported."""

import re
from pathlib import Path

from demo.kong_settings import ROOT

# Python before 3.11.5 (Debian 12 has 3.11.2) does not restore the position of the last turn, which
# failed: (?:ab?c)*+ matches all of "aca". An atomic group, (?>(?:ab?c)*), does.
POSSESSIVE_GROUP = re.compile(r"(?<!\\)\)(?:[*+?]|\{[\d,{}]*\})\+")
CHARACTER_CLASS = re.compile(r"(?<!\\)\[\^?\]?(?:\\.|[^\]\\])*\]")


def test_no_group_is_repeated_possessively() -> None:
    assert POSSESSIVE_GROUP.search(CHARACTER_CLASS.sub("x", r"(?:[)*+]|\(){0,9}+"))
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("kong-plugin", "sidecar")
        for path in sorted(Path(ROOT, folder).rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if POSSESSIVE_GROUP.search(CHARACTER_CLASS.sub("x", line))
    ]
    assert found == []
