"""docs/dependencies.md gives a reason for each package that is installed."""

import json
import re
import tomllib

import pytest

from demo.kong_settings import ROOT

PAGE = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")

PACKAGES = sorted(
    {
        re.split(r"[<>=\[;!~ ]", requirement)[0]
        for extra in PROJECT["optional-dependencies"].values()
        for requirement in extra
    }
    - {PROJECT["name"]}
)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_a_reason(package: str) -> None:
    assert re.search(rf"^\|[^|]*(?<![\w-]){re.escape(package)}(?![\w-])", PAGE, re.MULTILINE)


def test_every_package_from_npm_has_a_reason_and_an_exact_version() -> None:
    listed = json.loads((ROOT / "package.json").read_text("utf-8"))
    for name, version in (listed["dependencies"] | listed["devDependencies"]).items():
        assert f"\n| {name} | " in PAGE
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)


def test_every_debian_package_of_the_makefile_has_a_reason() -> None:
    (tools,) = re.findall(r"^TOOLS := ((?:.*\\\n)*.*)$", MAKEFILE, re.MULTILINE)
    packages = re.findall(r"=([\w-]+)", tools)
    assert packages
    assert [package for package in packages if package not in PAGE] == []


def test_every_pinned_version_is_exact() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    assert [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
