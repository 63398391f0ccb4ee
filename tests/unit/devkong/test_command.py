"""`python -m devkong`: what it prints, how it stops, and what it refuses."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from devkong.settings import BadSettings, from_environment

from tests.support.raw_http import Upstream, ask

STOCK = Path(__file__).parents[2] / "kong" / "stock_plugin.py"


COMMAND = [sys.executable, "-m", "devkong", "start"]


def stock_environment(folder: Path, *, starts_it: bool = False) -> dict[str, str]:
    command = f"{sys.executable} {STOCK} --kong-prefix {folder}"
    return {
        "KONG_PLUGINS": "bundled,stock",
        "KONG_PLUGINSERVER_NAMES": "stock",
        "KONG_PLUGINSERVER_STOCK_SOCKET": str(folder / "stock.sock"),
        "KONG_PLUGINSERVER_STOCK_QUERY_CMD": f"{command} --dump",
        **({"KONG_PLUGINSERVER_STOCK_START_CMD": command} if starts_it else {}),
    }


def stock_config(upstream: Upstream) -> str:
    plugins = "[{name: stock}, {name: acl, config: {allow: [jan]}}]"
    route = f"{{name: guarded, paths: [/guarded], plugins: {plugins}}}"
    service = f"{{name: up, url: 'http://127.0.0.1:{upstream.port}', routes: [{route}]}}"
    return f"_format_version: '3.0'\nservices: [{service}]\n"


def environment(folder: Path, text: str, **more: str) -> dict[str, str]:
    (folder / "kong.yml").write_text(text)
    return {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[3] / "kong-plugin"),
        "KONG_DECLARATIVE_CONFIG": str(folder / "kong.yml"),
        "KONG_PREFIX": str(folder),
        "KONG_PROXY_LISTEN": "127.0.0.1:0",
        **more,
    }


def refusal(**variables: str) -> str:
    """What it says when it does not start."""
    result = subprocess.run(COMMAND, env=variables, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_is_ready_and_stops_cleanly_with_its_plugin_server(
    short_path: Path, echo: Upstream, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        COMMAND,
        env=environment(
            short_path, stock_config(echo), **stock_environment(short_path, starts_it=True)
        ),
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
    said = refusal(**environment(short_path, text))
    assert f"{short_path}/kong.yml:2: services.0: nam: unknown field" in said
    assert f"{short_path}/kong.yml:3: foo: unknown field" in said


def test_a_query_command_that_prints_no_plugin_is_refused(short_path: Path, echo: Upstream) -> None:
    variables = stock_environment(short_path)
    variables["KONG_PLUGINSERVER_STOCK_QUERY_CMD"] = "echo nonsense"
    said = refusal(**environment(short_path, stock_config(echo), **variables))
    assert "stock: the query command printed no plugin info" in said


def test_a_plugin_that_is_nowhere_is_refused(short_path: Path, echo: Upstream) -> None:
    said = refusal(**environment(short_path, stock_config(echo), KONG_PLUGINS="bundled,nonesuch"))
    assert said == "KONG_PLUGINS: nonesuch: devkong has no such plugin\n"


def test_kongs_variables_are_read() -> None:
    settings = from_environment(
        {
            "KONG_DECLARATIVE_CONFIG": "/k/kong.yml",
            "KONG_PREFIX": "/p",
            "KONG_PROXY_LISTEN": "0.0.0.0:8000 reuseport backlog=16384",
            "KONG_PLUGINS": "bundled, jan-media",
            "KONG_PLUGINSERVER_NAMES": "jan-media",
            "KONG_PLUGINSERVER_JAN_MEDIA_QUERY_CMD": "q",
            "KONG_NGINX_HTTP_CLIENT_BODY_BUFFER_SIZE": "16k",
            "KONG_NGINX_HTTP_LUA_SOCKET_READ_TIMEOUT": "2s",
            "KONG_NGINX_HTTP_LARGE_CLIENT_HEADER_BUFFERS": "2 16k",
        }
    )
    assert str(settings.listen) == "http://0.0.0.0:8000"
    assert settings.plugins == ["bundled", "jan-media"]
    (server,) = settings.plugin_servers
    assert (server.socket, server.query, server.start) == ("/p/jan-media.socket", "q", None)
    assert settings.client_body_buffer_size == 16384
    assert settings.socket_read_timeout == 2.0
    assert settings.head_limits == (2, 16384)


def test_every_wrong_variable_is_named_at_once() -> None:
    with pytest.raises(BadSettings) as bad:
        from_environment(
            {
                "KONG_PROXY_LISTEN": "127.0.0.1:1 ssl",
                "KONG_PLUGINSERVER_NAMES": "mine",
                "KONG_NGINX_HTTP_CLIENT_MAX_BODY_SIZE": "big",
                "KONG_NGINX_HTTP_LARGE_CLIENT_HEADER_BUFFERS": "8k",
                "KONG_ERROR_TEMPLATE_JSON": "/nowhere",
            }
        )
    assert sorted(str(bad.value).splitlines()) == [
        "KONG_ERROR_TEMPLATE_JSON: there is no file /nowhere",
        "KONG_NGINX_HTTP_CLIENT_MAX_BODY_SIZE: 'big' is not a size such as 8k",
        "KONG_NGINX_HTTP_LARGE_CLIENT_HEADER_BUFFERS: must be a number and a size, such as 4 8k",
        "KONG_PLUGINSERVER_MINE_QUERY_CMD: is needed",
        "KONG_PROXY_LISTEN: '127.0.0.1:1 ssl' is not one host:port, without TLS",
    ]
