"""Dockerfile and systemd's file have the same settings of Kong as `make up`."""

import re
from pathlib import Path

import pytest

from demo.addresses import Ports
from demo.kong_settings import ROOT, kong_environment

OF_ONE_MACHINE = {
    *("KONG_PREFIX", "KONG_PROXY_LISTEN", "KONG_ADMIN_GUI_LISTEN", "KONG_STATUS_LISTEN"),
    *("KONG_NGINX_DAEMON", "KONG_NGINX_USER", "KONG_NGINX_WORKER_PROCESSES"),
    *("KONG_LOG_LEVEL", "KONG_PROXY_ERROR_LOG", "KONG_ANONYMOUS_REPORTS"),
}
# Where things lie differs: as an installation has it, and as this checkout does.
ELSEWHERE = [
    (r"^/\S*/bin/python[0-9.]*", "PYTHON"),
    (r"^\S*/(opt/jan/lua|kong-plugin)/\?\.lua;;$", "LUA"),
    (rf"^{re.escape(str(ROOT))}/", "/etc/kong/"),
]


def anywhere(value: str) -> str:
    """A value without the folders that differ."""
    for pattern, name in ELSEWHERE:
        value = re.sub(pattern, name, value)
    return value


@pytest.mark.parametrize(
    ("page", "prefix"),
    [("Dockerfile", "/kong_prefix"), ("deploy/systemd/kong.env", "/usr/local/kong")],
)
def test_kong_is_told_the_same_everywhere(page: str, prefix: str) -> None:
    told = kong_environment(Path(prefix), Path("/etc/kong/kong.yml"), Ports(), "secret")
    lines = re.findall(
        r'^[A-Z ]*(KONG_[A-Z_]+)=(?:"([^"\n]*)"|([^"\s\\]*)) *\\?$', (ROOT / page).read_text(), re.M
    )
    written = {name: anywhere(quoted or plain) for name, quoted, plain in lines}
    assert written.pop("KONG_PREFIX", "/usr/local/kong") == prefix
    assert written == {
        name: anywhere(value)
        for name, value in told.items()
        if name.startswith("KONG_") and name not in OF_ONE_MACHINE
    }
