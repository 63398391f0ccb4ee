"""Every example of the API reference runs as shown, against the gateway under test.

The examples of a language run from top to bottom, with one photo; those that delete it run last.
"""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from jan_media.api.routes import contract

from demo.images import drawn
from demo.kong_settings import ROOT
from tests.e2e.documented import (
    Outcome,
    examples,
    read_bash,
    read_javascript,
    read_python,
    substituted,
)

CONTRACT: dict[str, Any] = yaml.safe_load(contract("openapi.yaml"))
FROM_NPM = "tests/e2e/clients/node_modules"


def read_javascript_with_packages(sources: Sequence[str], folder: Path) -> list[Outcome]:
    """Runs JavaScript examples that import a client from npm."""
    subprocess.run(["make", "-s", f"{FROM_NPM}/.installed"], cwd=ROOT, check=True)
    (folder / "node_modules").symlink_to(ROOT / FROM_NPM)
    return read_javascript(sources, folder)


READERS = {
    "cURL": read_bash,
    "Python": read_python,
    "JavaScript": read_javascript,
    "Python, OpenAI": read_python,
    "Python, Anthropic": read_python,
    "JavaScript, OpenAI": read_javascript_with_packages,
}


def samples() -> dict[tuple[str, str], str]:
    """Sources by operation and language, in the order of the page; deletion comes last."""
    found: dict[tuple[str, str], str] = {}
    for language, source in introduction():
        found["the introduction", language] = source
    operations = [
        operation
        for item in CONTRACT["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict) and "x-codeSamples" in operation
    ]
    operations.sort(key=lambda operation: operation["operationId"].startswith("delete"))
    for operation in operations:
        for sample in operation["x-codeSamples"]:
            found[operation["operationId"], sample["lang"]] = sample["source"]
    return found


def introduction() -> Iterator[tuple[str, str]]:
    """The first steps, and the SDKs, with their languages."""
    for block in examples(CONTRACT["info"]["description"]):
        if block.language == "bash":
            yield "cURL", block.source
        elif block.language == "python":
            sdk = "OpenAI" if "openai" in block.source else "Anthropic"
            yield f"Python, {sdk}", block.source
        elif block.language == "javascript":
            yield "JavaScript, OpenAI", block.source


SAMPLES = samples()
PHOTO = 'const photo = document.getElementById("photo").files[0];'
SIGNED_IN = [SAMPLES["guestLogin", "Python"], SAMPLES["upload", "Python"]]
# What a reader of a language has done before the first of its examples.
BEFORE = {
    "JavaScript": [PHOTO],
    "Python, OpenAI": SIGNED_IN,
    "Python, Anthropic": SIGNED_IN,
    "JavaScript, OpenAI": [
        PHOTO,
        SAMPLES["guestLogin", "JavaScript"],
        SAMPLES["upload", "JavaScript"],
    ],
}


@pytest.fixture(scope="module")
def outcomes(
    gateway_url: str, images: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Outcome]:
    """What came of every example, by operation and language."""
    found: dict[tuple[str, str], Outcome] = {}
    for language, read in READERS.items():
        folder = tmp_path_factory.mktemp("reader")
        (folder / "photo.jpg").write_bytes(drawn(f"{language}-reference.jpg"))
        names = [each for each in SAMPLES if each[1] in (language, f"{language}, by URL")]
        before = BEFORE.get(language, [])
        sources = [*before, *(SAMPLES[each] for each in names)]
        hosts = {"http://localhost:8000": gateway_url, "https://example.com": images}
        ran = read([substituted(source, hosts) for source in sources], folder)
        found.update(zip(names, ran[len(before) :], strict=True))
    return found


@pytest.mark.parametrize(("operation", "language"), SAMPLES)
def test_example_runs(
    operation: str, language: str, outcomes: dict[tuple[str, str], Outcome]
) -> None:
    outcome = outcomes[operation, language]
    assert outcome.failure == ""
    assert '"error"' not in outcome.printed


@pytest.mark.parametrize("operation", ["guestLogin", "upload", "prepareUpload", "chat"])
def test_what_everybody_does_is_shown_in_each_language(operation: str) -> None:
    assert {language for named, language in SAMPLES if named == operation} >= {
        "cURL",
        "Python",
        "JavaScript",
    }


@pytest.mark.parametrize(
    "example",
    [
        ("chat", "cURL"),
        ("chat", "Python"),
        ("chat", "JavaScript"),
        ("the introduction", "Python, OpenAI"),
        ("the introduction", "Python, Anthropic"),
        ("the introduction", "JavaScript, OpenAI"),
    ],
)
def test_the_model_sees_the_photo(
    example: tuple[str, str], outcomes: dict[tuple[str, str], Outcome]
) -> None:
    assert "I see 1 image" in outcomes[example].printed


def test_the_page_that_shows_them_is_served(gateway_url: str) -> None:
    answer = httpx.get(f"{gateway_url}/docs/", trust_env=False)
    assert answer.status_code == 200
    assert "Jan Media API" in answer.text
