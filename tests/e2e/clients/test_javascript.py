"""The JavaScript clients: each file of tests in this folder passes in Node."""

import os
import subprocess
from pathlib import Path

import pytest

from demo.images import drawn
from demo.kong_settings import ROOT
from tests.e2e.clients.conftest import Gateway

HERE = Path(__file__).parent
INSTALLED = "tests/e2e/clients/node_modules/.installed"


@pytest.fixture(scope="module")
def environment(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the files are told about the gateway; the packages are installed."""
    subprocess.run(["make", "-s", INSTALLED], cwd=ROOT, check=True)
    folder: Path = tmp_path_factory.mktemp("pictures")
    for name in ("one.png", "two.png", "three.png"):
        (folder / name).write_bytes(drawn(name))
    told = {"GATEWAY": gateway.url, "TOKEN": gateway.token, "MODEL_SERVER": gateway.model}
    return {**os.environ, **told, "PICTURES": str(folder)}


@pytest.mark.parametrize("file", ["openai.mjs", "anthropic.mjs", "ai_sdk.mjs"])
def test_a_client_in_javascript(environment: dict[str, str], file: str) -> None:
    finished = subprocess.run(
        ["node", "--test", "--test-reporter=spec", str(HERE / file)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
