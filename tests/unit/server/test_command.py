"""The command line: kong-pdk's flags, and a fast and exact description for Kong."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jan_media_plugin.__main__ import JAN_MEDIA
from jan_media_plugin.server.command import run
from jan_media_plugin.server.listener import bind
from kong_pdk.module import Module
from kong_pdk.server import PluginServer

from tests.support.odd_plugin import ODD
from tests.support.odd_servers import driver, odd_server
from tests.support.odd_servers import run as run_request
from tests.support.waiting import wait_until


def dump(flag: str = "--dump") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jan_media_plugin", flag]
    return subprocess.run(command, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("flag", ["--dump", "-dump"])
def test_dump_prints_one_json_array_and_nothing_else(flag: str) -> None:
    printed = dump(flag)
    [plugin] = json.loads(printed.stdout)
    assert (plugin["Name"], plugin["Priority"], plugin["Version"]) == ("jan-media", 1100, "0.1.0")
    assert plugin["Phases"] == ["access"]
    assert printed.stderr == ""


def test_dump_says_what_kong_pdk_would_say_of_the_plugin() -> None:
    attributes = {
        "Plugin": JAN_MEDIA.load(),
        "Schema": JAN_MEDIA.schema,
        "version": JAN_MEDIA.version,
        "priority": JAN_MEDIA.priority,
    }
    stock = PluginServer(lua_style=False)
    stock.plugins["jan-media"] = Module("jan-media", module=type("module", (), attributes))
    assert JAN_MEDIA.info() == stock.get_plugin_info("jan-media")


def test_dump_imports_nothing_that_takes_long() -> None:
    program = (
        "import sys; sys.argv[1:] = ['--dump']\n"
        "import runpy; runpy.run_module('jan_media_plugin', run_name='__main__')\n"
        "print([m for m in ('asyncio', 'gevent', 'httpx', 'jwt', 'uvloop') if m in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert printed.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-p", "/no/such/folder"],
        ["--time-limit", "0", "--dump"],
        ["--time-limit", "x", "--dump"],
        ["--time-limit", "60", "--dump"],
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(ODD, arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.parametrize("umask", [0o022, 0o007, 0o077])
def test_the_umask_rules_who_may_connect(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with bind(tmp_path / "s.sock", 1):
            assert (tmp_path / "s.sock").stat().st_mode & 0o777 == 0o777 & ~umask
    finally:
        os.umask(before)


def test_a_stale_socket_is_replaced_and_nothing_else_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    bind(path, 1).close()
    with bind(path, 1):
        assert [entry.name for entry in tmp_path.iterdir()] == ["s.sock"]


def test_it_serves_where_python_adds_no_folder_to_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    with odd_server(tmp_path) as server, driver(server) as kong:
        assert run_request(kong, "pass").kind == "passed"


def test_the_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-m', 'tests.support.odd_plugin', '-p', sys.argv[1]])\n"
        "sys.stdin.read()"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    kong: subprocess.Popen[Any] = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    path = tmp_path / "odd.sock"
    try:
        wait_until(path.exists)
    finally:
        kong.kill()
        kong.communicate()
    wait_until(lambda: not path.exists())
