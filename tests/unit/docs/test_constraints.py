"""constraints.txt pins everything that `make setup` installs, at the version that is tested."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from demo.kong_settings import ROOT

US = "jan-media-gateway"
OF_THE_ENVIRONMENT = {"pip", "setuptools"}  # what does the installing; sqlite-utils asks for pip


def pinned() -> dict[str, str]:
    """The versions in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line.partition("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, _, version in pins}


def needed(name: str, extras: frozenset[str], seen: dict[str, set[str]]) -> None:
    """Collects into ``seen`` what is installed for a package and its extras, however deep."""
    known = seen.setdefault(canonicalize_name(name), set())
    if name != US and known >= extras | {""}:
        return
    known |= extras | {""}
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        wanted = [
            requirement.marker is None or requirement.marker.evaluate({"extra": extra})
            for extra in (*extras, "")
        ]
        if not any(wanted):
            continue
        inner = frozenset(requirement.extras)
        if seen.get(canonicalize_name(requirement.name), set()) >= inner | {""}:
            continue
        try:
            needed(requirement.name, inner, seen)
        except PackageNotFoundError:
            seen.setdefault(canonicalize_name(requirement.name), set()).add("missing")


def test_everything_that_is_installed_is_pinned_at_its_version() -> None:
    seen: dict[str, set[str]] = {}
    needed(US, frozenset({"dev"}), seen)
    names = seen.keys() - {US} - OF_THE_ENVIRONMENT
    assert len(names) > 60
    pins = pinned()
    wrong = {name for name in names if pins.get(name) != distribution(name).version}
    assert wrong == set()


def test_every_package_that_an_extra_names_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = {
        canonicalize_name(Requirement(text).name)
        for extra in project["optional-dependencies"].values()
        for text in extra
    }
    assert named - {US} - pinned().keys() == set()


def test_every_line_is_one_exact_version() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.!+]*", pin)] == []
