"""The commands of the upgrade page replace an installation made by the install pages."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from demo.kong_settings import ROOT


def steps(page: str) -> str:
    """The commands of a page that make an environment and lead to it."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    return "\n".join(re.findall(r"^(?:python3 -m venv|ln -sf?n?) .*", text, re.MULTILINE))


@pytest.mark.parametrize("installed_by", ["install.md", "recipes/existing-kong.md"])
def test_the_new_version_takes_the_old_ones_place_and_can_give_it_back(
    installed_by: str, tmp_path: Path
) -> None:
    def follow(commands: str) -> Path:
        """Run them with a folder of our own for /opt; where /opt/jan leads then."""
        venv = f"{sys.executable} -m venv --without-pip"
        script = commands.replace("python3 -m venv", venv).replace("/opt/", f"{tmp_path}/")
        subprocess.run(["bash", "-euc", script], check=True)
        assert (tmp_path / "jan" / "lua").is_dir()
        assert (tmp_path / "jan" / "bin" / "python").exists()
        return (tmp_path / "jan").resolve()

    assert follow(steps(installed_by)).name == "jan-0.1.0"
    upgrade = steps("recipes/upgrade.md")
    assert follow(upgrade).name == "jan-0.2.0"
    *_, switch = upgrade.splitlines()
    assert follow(switch.replace("0.2.0", "0.1.0")).name == "jan-0.1.0"
