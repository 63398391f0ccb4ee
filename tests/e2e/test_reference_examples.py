"""Every example of the API reference runs as it is shown, against the gateway under test.

In each language they are read as a person would: from top to bottom, with one photo, and what
deletes it last.
"""

from typing import Any

import httpx
import pytest
import yaml
from jan_media.api.routes import contract

from demo.images import drawn
from tests.e2e.documented import Outcome, examples, read_bash, read_javascript, read_python

CONTRACT: dict[str, Any] = yaml.safe_load(contract("openapi.yaml"))
PHOTO = 'const photo = document.getElementById("photo").files[0];'
SDKS = ("OpenAI", "Anthropic")  # their examples need packages of their own
READERS = {"cURL": read_bash, "Python": read_python, "JavaScript": read_javascript}


def samples() -> list[tuple[str, str, str]]:
    """Operation, language and source of each; deletion comes last."""
    operations = [
        operation
        for item in CONTRACT["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict) and "x-codeSamples" in operation
    ]
    operations.sort(key=lambda operation: operation["operationId"] == "deleteMedia")
    return [
        (operation["operationId"], sample["lang"], sample["source"])
        for operation in operations
        for sample in operation["x-codeSamples"]
        if not sample["lang"].endswith(SDKS)
    ]


SAMPLES = samples()
FIRST_STEPS = examples(CONTRACT["info"]["description"])[0].source


@pytest.fixture(scope="module")
def outcomes(
    gateway_url: str, images: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Outcome]:
    """What came of every example, by operation and language."""
    found = {}
    for language, read in READERS.items():
        folder = tmp_path_factory.mktemp(language)
        (folder / "photo.jpg").write_bytes(drawn(f"{language}-reference.jpg"))
        chosen = [each for each in SAMPLES if each[1].partition(",")[0] == language]
        before = {"JavaScript": [PHOTO], "cURL": [FIRST_STEPS]}.get(language, [])
        ran = read(
            [
                source.replace("http://localhost:8000", gateway_url).replace(
                    "https://example.com", images
                )
                for source in [*before, *(source for _, _, source in chosen)]
            ],
            folder,
        )
        if language == "cURL":
            found["first steps", language] = ran[0]
        for (operation, named, _), outcome in zip(chosen, ran[len(before) :], strict=True):
            found[operation, named] = outcome
    return found


@pytest.mark.parametrize(
    ("operation", "language"),
    [("first steps", "cURL"), *((operation, named) for operation, named, _ in SAMPLES)],
)
def test_example_runs(
    operation: str, language: str, outcomes: dict[tuple[str, str], Outcome]
) -> None:
    outcome = outcomes[operation, language]
    assert outcome.failure == ""
    assert '"error"' not in outcome.printed


@pytest.mark.parametrize("operation", ["guestLogin", "upload", "prepareUpload", "chat"])
def test_what_everybody_does_is_shown_in_each_language(operation: str) -> None:
    shown = {language for named, language, _ in SAMPLES if named == operation}
    assert shown >= READERS.keys()


@pytest.mark.parametrize("language", READERS)
def test_the_model_sees_the_photo(language: str, outcomes: dict[tuple[str, str], Outcome]) -> None:
    assert "I see 1 image" in outcomes["chat", language].printed


def test_the_page_that_shows_them_is_served(gateway_url: str) -> None:
    answer = httpx.get(f"{gateway_url}/docs/", trust_env=False)
    assert answer.status_code == 200
    assert "Jan Media API" in answer.text
