"""What the README and the Dockerfile tell Kong is what `make up` tells it."""

import re
from pathlib import Path

import pytest

from demo.addresses import Ports
from demo.kong_settings import ROOT, kong_environment

TOLD = kong_environment(Path("/usr/local/kong"), Path("/etc/kong/kong.yml"), Ports(), "secret")


@pytest.mark.parametrize("page", ["README.md", "Dockerfile"])
def test_kong_is_told_the_same_everywhere(page: str) -> None:
    written = re.findall(
        r'^[A-Z ]*(KONG_[A-Z_]+)="?([^"\n\\]*?)"? *\\?$', (ROOT / page).read_text(), re.M
    )
    assert written
    differing = {
        name: value
        for name, value in written
        if name not in TOLD
        or value.replace("/opt/jan/bin/python", "")
        != re.sub(r"^\S*/python\S*", "", TOLD[name]).replace(f"{ROOT}/", "/etc/kong/")
    }
    assert differing == {}
