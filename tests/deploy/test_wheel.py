"""The wheel works from any folder: installed into empty environments, as the images do."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from demo.addresses import HOST, free_ports, url
from demo.kong_settings import ROOT
from demo.part import Part, answers

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what git knows."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "constraints.txt", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("sidecar", "kong-plugin"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip(Path(sys.executable), "wheel", "--no-deps", "-w", str(source / "dist"), str(source))
    (built,) = (source / "dist").glob("*.whl")
    return built


def pip(python: Path, *arguments: str) -> str:
    """Run pip for an environment, and return what it prints."""
    command = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, cwd="/", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Installed:
    """An environment that holds the wheel with one extra, and nothing of this checkout."""

    def __init__(self, folder: Path, wheel: Path, extra: str) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.folder = folder
        self.python = folder / "bin" / "python"
        constraints = str(ROOT / "constraints.txt")
        pip(self.python, "install", "--no-compile", f"{wheel}[{extra}]", "-c", constraints)
        # No variable of this run leads back to the checkout.
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
        }

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run one of the environment's programs from the root folder."""
        return subprocess.run(
            [str(self.folder / "bin" / command[0]), *command[1:]],
            capture_output=True,
            text=True,
            cwd="/",
            env=self.environment,
            check=False,
        )

    def packages(self) -> set[str]:
        """Return the names of what is installed."""
        listed = json.loads(pip(self.python, "list", "--format=json"))
        return {canonicalize_name(each["name"]) for each in listed}


@pytest.fixture(scope="module")
def plugin(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """What runs in Kong's image."""
    return Installed(tmp_path_factory.mktemp("plugin"), wheel, "plugin")


@pytest.fixture(scope="module")
def sidecar(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """What runs beside it."""
    return Installed(tmp_path_factory.mktemp("sidecar"), wheel, "sidecar")


@pytest.fixture(scope="module")
def client(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """What somebody needs who only uses a gateway."""
    return Installed(tmp_path_factory.mktemp("client"), wheel, "client")


def needed(extra: str) -> set[str]:
    """Return the packages that an extra names."""
    lines = PYPROJECT["project"]["optional-dependencies"][extra]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_every_file_that_is_no_code_is_in_the_wheel(wheel: Path) -> None:
    """Compared with the source: what is not Python there has to be listed as package data."""
    held = set(zipfile.ZipFile(wheel).namelist())
    for below in (ROOT / "sidecar", ROOT / "kong-plugin"):
        for path in below.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path):
                assert path.relative_to(below).as_posix() in held


def test_what_the_console_takes_from_npm_is_in_the_wheel_with_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as held:
        folder = "jan_media/console/static/vendor/oauth4webapi"
        assert b"export async function discoveryRequest" in held.read(f"{folder}.js")
        assert b"Permission is hereby granted" in held.read(f"{folder}.txt")


def test_the_plugin_alone_brings_nothing_of_the_sidecar(plugin: Installed) -> None:
    installed = plugin.packages()
    assert needed("plugin") <= installed
    assert not installed & {"boto3", "pillow", "psycopg", "sqlite-utils", "typer", "uvicorn"}


def test_the_sidecar_alone_brings_nothing_of_the_plugin(sidecar: Installed) -> None:
    installed = sidecar.packages()
    assert needed("sidecar") <= installed
    assert not installed & {"kong-pdk", "lupa", "pytest", "matplotlib"}


def test_the_client_alone_brings_nothing_of_either(client: Installed) -> None:
    installed = client.packages()
    assert needed("client") <= installed
    assert not installed & {"boto3", "pillow", "psycopg", "uvicorn", "fastapi", "kong-pdk", "lupa"}


def test_the_client_alone_uses_gateways_and_says_what_a_sidecar_needs(client: Installed) -> None:
    asked = client.run("jan-media", "ls", "--gateway", f"http://{HOST}:{free_ports().gateway}")
    assert "no answer from" in asked.stderr
    for command in ("serve", "doctor"):
        done = client.run("jan-media", command)
        assert done.returncode == 1
        assert "pip install 'jan-media-gateway[sidecar]'" in done.stderr
        assert "Traceback" not in done.stderr


def test_kong_gets_the_plugins_schema_from_any_folder(plugin: Installed) -> None:
    dumped = plugin.run("python", "-m", "jan_media_plugin", "--dump")
    assert json.loads(dumped.stdout)[0]["Name"] == "jan-media"


def test_kong_finds_the_gate_by_the_path_that_the_plugin_prints(plugin: Installed) -> None:
    printed = plugin.run("python", "-m", "jan_media_plugin", "--lua-path").stdout.strip()
    first, *_ = printed.split(";")
    for module in ("handler", "schema"):
        lua = Path(first.replace("?", f"kong/plugins/jan-media-gate/{module}"))
        assert lua.is_file()
        assert plugin.folder in lua.parents


def test_the_command_says_what_to_install_where_only_the_plugin_is(plugin: Installed) -> None:
    done = plugin.run("jan-media", "serve")
    assert done.returncode == 1
    assert "pip install 'jan-media-gateway[sidecar]'" in done.stderr
    assert "pip install 'jan-media-gateway[client]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_sidecar_serves_from_any_folder(sidecar: Installed, tmp_path: Path) -> None:
    """Its schema (SQL), its API's description and its pages are in the wheel."""
    ports = free_ports()
    part = Part(
        name="sidecar",
        command=[str(sidecar.folder / "bin" / "jan-media"), "serve"],
        environment={
            **sidecar.environment,
            "MEDIA_STORAGE_BACKEND": "local",
            "MEDIA_DATA_DIR": str(tmp_path / "media"),
            "MEDIA_LISTEN": f"{HOST}:{ports.public}",
            "MEDIA_INTERNAL_LISTEN": f"{HOST}:{ports.internal}",
        },
        log=tmp_path / "sidecar.log",
        is_ready=answers(url(ports.public, "/readyz")),
    )
    part.start()
    try:
        part.wait_until_ready()
    finally:
        part.stop()


def test_both_halves_are_of_one_version(plugin: Installed) -> None:
    dumped = json.loads(plugin.run("python", "-m", "jan_media_plugin", "--dump").stdout)
    listed = re.search(r"^Version: (\S+)$", pip(plugin.python, "show", "jan-media-gateway"), re.M)
    assert listed is not None
    assert dumped[0]["Version"] == listed[1] == PYPROJECT["project"]["version"]
