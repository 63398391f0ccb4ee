"""The settings that `make up` makes for Kong and devkong."""

import json
import os
import shlex
import stat
import sys
from pathlib import Path

import pytest
import yaml

from demo.addresses import Ports, free_ports
from demo.kong_settings import ROOT, kong_environment, kong_yml_for, llm_service_url
from demo.part import PartFailed
from demo.stack import Stack, chosen_kong

WRITTEN = (ROOT / "kong.yml").read_text("utf-8")
PORTS = Ports(gateway=9000, public=9001, internal=9002, llm=9003)
ISSUER = "http://localhost:9000/llm"


def test_kong_yml_as_written_needs_no_change_on_the_usual_ports() -> None:
    assert kong_yml_for(WRITTEN, Ports(), "http://localhost:8000/llm", None) == WRITTEN


def test_every_address_follows_the_ports() -> None:
    text = kong_yml_for(WRITTEN, PORTS, ISSUER, None)
    services = {each["name"]: each for each in yaml.safe_load(text)["services"]}
    assert {name: each["url"] for name, each in services.items()} == {
        "jan-media-sidecar": "http://127.0.0.1:9001/v1",
        "jan-media-files-api": "http://127.0.0.1:9001/v1/files",
        "jan-media-auth": "http://127.0.0.1:9001/auth",
        "jan-media-health": "http://127.0.0.1:9001/healthz",
        "jan-media-ready": "http://127.0.0.1:9001/readyz",
        "jan-media-files": "http://127.0.0.1:9001/files",
        "jan-media-console": "http://127.0.0.1:9001",
        "jan-llm": "http://127.0.0.1:9003/v1",
    }
    for name in ("jan-media-sidecar", "jan-llm"):
        config = services[name]["routes"][0]["plugins"][1]["config"]
        assert config["sidecar_url"] == "http://127.0.0.1:9002"
        assert config["issuers"][0]["issuer"] == ISSUER
        assert config["issuers"][0]["jwks_url"] == "http://127.0.0.1:9001/.well-known/jwks.json"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://10.0.0.1:11434", "http://10.0.0.1:11434/v1"),
        ("http://10.0.0.1:11434/", "http://10.0.0.1:11434/v1"),
        ("https://llm.example/v1", "https://llm.example/v1"),
        ("https://llm.example/openai/v1/", "https://llm.example/openai/v1"),
    ],
)
def test_another_upstream_takes_the_demo_llms_place(given: str, used: str) -> None:
    assert llm_service_url(given) == used
    text = kong_yml_for(WRITTEN, PORTS, ISSUER, given)
    services = {each["name"]: each["url"] for each in yaml.safe_load(text)["services"]}
    assert services["jan-llm"] == used


def test_an_upstream_that_is_no_url_is_refused() -> None:
    with pytest.raises(ValueError, match="LLM_UPSTREAM_URL"):
        llm_service_url("localhost:11434")


def test_kong_finds_the_plugin_server_of_this_environment(tmp_path: Path) -> None:
    environment = kong_environment(tmp_path, tmp_path / "kong.yml", PORTS, "s3cret")
    start = shlex.split(environment["KONG_PLUGINSERVER_JAN_MEDIA_START_CMD"])
    query = shlex.split(environment["KONG_PLUGINSERVER_JAN_MEDIA_QUERY_CMD"])
    assert start == [sys.executable, "-m", "jan_media_plugin", "--kong-prefix", str(tmp_path)]
    assert query == [sys.executable, "-m", "jan_media_plugin", "--dump"]
    assert environment["KONG_PLUGINSERVER_JAN_MEDIA_SOCKET"] == str(tmp_path / "jan-media.sock")
    assert environment["JAN_GATEWAY_SECRET"] == "s3cret"


def test_the_operators_own_kong_settings_win_where_they_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KONG_LOG_LEVEL", "debug")
    monkeypatch.setenv("KONG_PROXY_LISTEN", "0.0.0.0:80")
    environment = kong_environment(tmp_path, tmp_path / "kong.yml", PORTS, "s3cret")
    assert environment["KONG_LOG_LEVEL"] == "debug"
    assert environment["KONG_PROXY_LISTEN"] == "127.0.0.1:9000"


def test_the_error_template_has_the_projects_shape() -> None:
    template = (ROOT / "kong-errors.json").read_text("utf-8")
    assert template.count("%s") == 1
    body = json.loads(template % "Unauthorized")
    assert set(body["error"]) == {"type", "code", "message", "param"}


def test_kong_bin_must_name_an_executable(tmp_path: Path) -> None:
    with pytest.raises(PartFailed, match="KONG_BIN"):
        chosen_kong({"KONG_BIN": str(tmp_path / "kong")})
    assert chosen_kong({}) is None


def test_a_kong_that_fails_is_reported_with_its_last_words(tmp_path: Path) -> None:
    kong = tmp_path / "kong"
    kong.write_text(
        "#!/bin/sh\n"
        'env > "$KONG_PREFIX/seen"\n'
        'cat "$KONG_DECLARATIVE_CONFIG" > "$KONG_PREFIX/config"\n'
        'echo "$1: no such luck"\n'
        "exit 3\n"
    )
    kong.chmod(kong.stat().st_mode | stat.S_IXUSR)
    stack = Stack(tmp_path / "s", free_ports(), kong_bin=str(kong))
    try:
        with pytest.raises(PartFailed, match=r"(?s)gateway stopped with status 3.*no such luck"):
            stack.start()
        prefix = tmp_path / "s" / "kong"
        seen = dict(
            line.split("=", 1) for line in (prefix / "seen").read_text().splitlines() if "=" in line
        )
        assert seen["KONG_DATABASE"] == "off"
        assert seen["KONG_PLUGINS"] == "bundled,jan-media-gate,jan-media"
        assert seen["KONG_PROXY_LISTEN"] == f"127.0.0.1:{stack.ports.gateway}"
        assert seen["PATH"] == os.environ["PATH"]
        assert f"127.0.0.1:{stack.ports.internal}" in (prefix / "config").read_text()
    finally:
        stack.stop()
    assert all(part.process is None or part.process.poll() is not None for part in stack.parts)
