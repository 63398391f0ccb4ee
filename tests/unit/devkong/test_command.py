"""`python -m devkong`: what it prints, how it stops, and what it refuses."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from devkong.settings import BadSettings, from_environment

from tests.unit.devkong.raw_http import Upstream, ask
from tests.unit.devkong.test_external_plugin_failures import stock_config, stock_environment


def command(folder: Path, text: str, *arguments: str) -> list[str]:
    (folder / "kong.yml").write_text(text)
    config = ["--config", str(folder / "kong.yml"), "--prefix", str(folder)]
    return [sys.executable, "-m", "devkong", *arguments, *config]


def environment(**more: str) -> dict[str, str]:
    path = str(Path(__file__).parents[3] / "kong-plugin")
    return {**os.environ, "PYTHONPATH": path, **more}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_is_ready_and_stops_cleanly_with_its_plugin_server(
    short_path: Path, echo: Upstream, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        command(short_path, stock_config(echo), "start", "--port", "0"),
        env=environment(**stock_environment(short_path, start=True)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    prefix, suffix = "devkong ready on http://127.0.0.1:", " (for development, not for production)"
    assert line.startswith(prefix)
    assert line.rstrip().endswith(suffix)
    port = int(line.rstrip().removeprefix(prefix).removesuffix(suffix))
    assert ask(port, "/guarded").status == 200
    process.send_signal(number)
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in log
    pid = int(log.split("[stock:", 1)[1].split("]", 1)[0])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_wrong_kong_yml_is_named_and_nothing_starts(short_path: Path) -> None:
    text = '_format_version: "3.0"\nservices: [{nam: x}]\nfoo: 1\n'
    for arguments in (("start", "--port", "0"), ("check",)):
        result = subprocess.run(
            command(short_path, text, *arguments),
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 1
        assert f"{short_path}/kong.yml:2: services.0: nam: unknown field" in result.stderr
        assert f"{short_path}/kong.yml:3: foo: unknown field" in result.stderr
        assert "Traceback" not in result.stderr


def test_check_finds_no_faults_in_a_right_kong_yml(short_path: Path, echo: Upstream) -> None:
    result = subprocess.run(
        command(short_path, stock_config(echo), "check"),
        env=environment(**stock_environment(short_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, f"{short_path}/kong.yml: no faults\n")


def test_a_query_command_that_prints_no_plugin_is_refused(short_path: Path, echo: Upstream) -> None:
    variables = stock_environment(short_path)
    variables["KONG_PLUGINSERVER_STOCK_QUERY_CMD"] = "echo nonsense"
    result = subprocess.run(
        command(short_path, stock_config(echo), "check"),
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "stock: the query command printed no plugin info" in result.stderr


def test_kongs_variables_are_read() -> None:
    settings = from_environment(
        {
            "KONG_DECLARATIVE_CONFIG": "/k/kong.yml",
            "KONG_PREFIX": "/p",
            "KONG_PROXY_LISTEN": "0.0.0.0:8000 reuseport backlog=16384, [::]:8001, unix:/s",
            "KONG_PLUGINS": "bundled, jan-media",
            "KONG_PLUGINSERVER_NAMES": "jan-media",
            "KONG_PLUGINSERVER_JAN_MEDIA_QUERY_CMD": "q",
            "KONG_NGINX_HTTP_CLIENT_BODY_BUFFER_SIZE": "16k",
            "KONG_NGINX_HTTP_LUA_SOCKET_READ_TIMEOUT": "2s",
            "KONG_NGINX_HTTP_LARGE_CLIENT_HEADER_BUFFERS": "2 16k",
        }
    )
    assert [str(one) for one in settings.listen] == [
        "http://0.0.0.0:8000",
        "http://[::]:8001",
        "unix:/s",
    ]
    assert settings.plugins == ("bundled", "jan-media")
    (server,) = settings.plugin_servers
    assert (server.socket, server.query, server.start) == ("/p/jan-media.socket", "q", None)
    assert settings.client_body_buffer_size == 16384
    assert settings.socket_read_timeout == 2.0
    assert settings.head_limits == (2, 16384)


def test_every_wrong_variable_is_named_at_once() -> None:
    with pytest.raises(BadSettings) as bad:
        from_environment(
            {
                "KONG_PROXY_LISTEN": "8000, 127.0.0.1:1 ssl",
                "KONG_PLUGINSERVER_NAMES": "mine",
                "KONG_NGINX_HTTP_CLIENT_MAX_BODY_SIZE": "big",
                "KONG_NGINX_HTTP_LARGE_CLIENT_HEADER_BUFFERS": "8k",
                "KONG_ERROR_TEMPLATE_JSON": "/nowhere",
            }
        )
    assert sorted(str(bad.value).splitlines()) == [
        "KONG_ERROR_TEMPLATE_JSON: there is no file /nowhere",
        "KONG_NGINX_HTTP_CLIENT_MAX_BODY_SIZE: 'big' is no size, such as 8k",
        "KONG_NGINX_HTTP_LARGE_CLIENT_HEADER_BUFFERS: must be a number and a size, such as 4 8k",
        "KONG_PLUGINSERVER_MINE_QUERY_CMD: is needed",
        "KONG_PROXY_LISTEN: '8000' is not host:port",
        "KONG_PROXY_LISTEN: devkong has no TLS listener: '127.0.0.1:1 ssl'",
    ]


def test_a_flag_wins_over_a_variable() -> None:
    settings = from_environment({"KONG_PREFIX": "/one"}, prefix="/two", plugins=None)
    assert str(settings.prefix) == "/two"
