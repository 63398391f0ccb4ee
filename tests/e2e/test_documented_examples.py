"""Every example of the public API's page runs as printed, against the gateway under test."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.images import drawn
from tests.e2e.browser import read_in_browser
from tests.e2e.conftest import client_for, guest_token, start_stack
from tests.e2e.documented import PAGE, READERS, Example, Outcome, examples, substituted
from tests.support.ceph import Ceph

EXAMPLES = examples(PAGE.read_text("utf-8"))
RUNNABLE = [e for e in EXAMPLES if e.language in READERS and not e.needs_a_browser]

ID = r"jan_[0-9a-hjkmnp-tv-z]{26}"
URL = r"http://\S+"
WHEN = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
SEEN = (
    r"I see {} images?\.\n(Image \d: (JPEG|PNG), 320×200 pixels, \d+ bytes, sha256 [0-9a-f]+\.\n?)+"
)

# What each example prints, as a regular expression for the whole of its output.
PRINTED = {
    "python: Authentication": "",
    "javascript: Authentication": "",
    "bash: Authentication": "",
    "python: Upload from Remote URL": (
        rf"Jan ID: {ID}\nMIME type: image/jpeg\nSize: \d+ bytes\nDeduped: (True|False)\n"
        rf"Download URL: {URL}\n"
    ),
    "javascript: Upload from Remote URL": (
        rf"Jan ID: {ID}\nMIME type: image/jpeg\nSize: \d+ bytes\nPresigned URL: {URL}\n"
    ),
    "bash: Upload from Remote URL": r"\{.*\}\n",
    "python: Upload from Base64/Data URL": rf"Jan ID: {ID}\nUploaded: \d+ bytes\n",
    "bash: Upload from Base64/Data URL": r"\{.*\}\n",
    "python: Step 1: Request Presigned URL": rf"Jan ID: {ID}\nUpload URL: {URL}\n",
    "javascript: Step 1: Request Presigned URL": rf"Jan ID: {ID}\nUpload to: {URL}\n",
    "bash: Step 1: Request Presigned URL": rf"Jan ID: {ID}\nUpload URL: {URL}\n",
    "python: Step 2: Upload Directly to S3": rf"Upload successful!\nJan ID: {ID}\n",
    "bash: Step 2: Upload Directly to S3": rf"Jan ID: {ID}\n",
    "javascript: Step 2: Upload Directly to S3": rf"Upload successful!\nJan ID: {ID}\n",
    "python: Step 3: Get Download URL": rf"Download URL: {URL}\nExpires in: \d+ seconds\n",
    "javascript: Step 3: Get Download URL": (rf"Download URL: {URL}\nExpires in: \d+ seconds\n"),
    "bash: Step 3: Get Download URL": r"\{.*\}\n",
    "python: Resolve Media IDs": rf"(ID: {ID}\nURL: {URL}\nExpires: {WHEN}\n---\n){{3}}",
    "javascript: Resolve Media IDs": rf"(ID: {ID}\nURL: {URL}\n){{2}}",
    "bash: Resolve Media IDs": r"\{.*\}\n",
    "python: Get Media Info": (
        rf"ID: {ID}\nMIME type: image/\w+\nSize: \d+ bytes\nCreated: {WHEN}\nDownload URL: {URL}\n"
    ),
    "javascript: Get Media Info": rf"ID: {ID}\nMIME: image/\w+\nSize: \d+ bytes\nURL: {URL}\n",
    "bash: Get Media Info": r"\{.*\}\n",
    "python: Get Presigned URL": rf"Download URL: {URL}\nExpires in: \d+ seconds\n",
    "bash: Get Presigned URL": "",
    "python: Complete Flow: Upload → Chat": (
        rf"Uploaded: {ID}\n\nAI Response:\n{SEEN.format(1)}\n"
    ),
    "javascript: Complete Flow: Upload → Chat": rf"Uploaded: {ID}\n{SEEN.format(1)}",
    "bash: Complete Flow: Upload → Chat": (
        rf'Uploaded: {ID}\n"I see 1 image\.\\nImage 1: PNG, 320×200 pixels, .*"\n'
    ),
    "python: Multiple Images in One Request": SEEN.format(3),
    "python: Common Error Scenarios": r"Error: .+\n",
    "python: Common Error Scenarios (2)": "Media not found or has been deleted\n",
    "python: Common Error Scenarios (3)": r"Network error: 50[24] Server Error.*\n",
    "python: Example 1: Image Gallery with Thumbnails": (
        rf"Gallery created with 3 images\n(  - {ID}: \d+ bytes\n){{3}}"
    ),
    "python: Example 3: Batch Upload with Progress": (
        rf"(Uploaded \d+/10: {ID}\n){{10}}\nAll 10 images uploaded successfully\n"
    ),
    "python: Example 4: Deduplication Check": (
        rf"First upload: {ID}, deduped=(True|False)\n"
        rf"Second upload: {ID}, deduped=True\nSame ID: True\n"
    ),
}

# Examples that draw on, read from or click in a page. A browser runs these, and all others too.
IN_A_BROWSER = {
    "javascript: Upload from Base64/Data URL": rf"Jan ID: {ID}\n",
    "javascript: Get Presigned URL": r"URL expires in \d+ seconds\n",
    "javascript: Example 2: Screenshot Upload from Canvas": rf"Screenshot saved: {ID}\n",
}


@pytest.fixture(scope="module", params=["local storage", "S3"])
def base_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The gateway, on a folder and on Ceph RGW."""
    if request.param == "local storage":
        yield request.getfixturevalue("gateway_url")
        return
    ceph: Ceph = request.getfixturevalue("ceph")
    settings = ceph.media_settings(ceph.new_bucket())
    with start_stack(tmp_path_factory.mktemp("on-s3"), **settings) as stack:
        yield stack.base_url


def substitutions(base_url: str, images: str) -> dict[str, str]:
    """Hosts that exist, and new ids that exist in the place of the page's sample ids."""
    swaps = {
        "http://localhost:8000": base_url,
        "https://example.com": images,
        "https://unsplash.com": images,
        "https://unreachable-site.com": "http://127.0.0.1:9",
    }
    with client_for(base_url, guest_token(base_url)) as client:
        for number in range(3):
            content = drawn(f"sample-{number}.jpg")
            answer = client.post("/media/v1/media", files={"file": content})
            assert answer.status_code == 200, answer.text
            swaps[f"jan_01hqr8v9k2x3f4g5h6j7k8m9n{number}"] = answer.json()["id"]
    return swaps


@pytest.fixture(scope="module")
def outcomes(
    base_url: str, images: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Outcome]:
    """What came of every example, read from top to bottom once in each language."""
    swaps = substitutions(base_url, images)
    result: dict[str, Outcome] = {}
    for language, read in READERS.items():
        folder = tmp_path_factory.mktemp(language)
        (folder / "image.png").write_bytes(drawn("image.png"))
        (folder / "photo.jpg").write_bytes(drawn(f"{language}-photo.jpg"))
        chosen = [e for e in RUNNABLE if e.language == language]
        ran = read([substituted(e.source, swaps) for e in chosen], folder)
        result |= {e.name: outcome for e, outcome in zip(chosen, ran, strict=True)}
        downloaded = folder / "downloaded_image.jpg"
        result[f"{language}: downloaded"] = Outcome(
            "" if not downloaded.exists() else str(downloaded), ""
        )
    return result


def test_every_example_of_the_page_is_run_or_needs_a_browser() -> None:
    runnable = [e.name for e in RUNNABLE]
    assert sorted(runnable) == sorted(PRINTED)
    assert [e.name for e in EXAMPLES if e.needs_a_browser] == list(IN_A_BROWSER)


@pytest.mark.parametrize("name", PRINTED)
def test_example_prints_what_it_promises(name: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[name]
    assert outcome.failure == ""
    assert re.fullmatch(PRINTED[name], outcome.printed, re.DOTALL), outcome.printed


@pytest.mark.parametrize("language", READERS)
def test_every_id_that_an_example_printed_is_of_a_picture_that_is_there(
    language: str, base_url: str, outcomes: dict[str, Outcome]
) -> None:
    printed = "".join(outcomes[e.name].printed for e in RUNNABLE if e.language == language)
    ids = set(re.findall(ID, printed))
    assert len(ids) >= 4
    with client_for(base_url, guest_token(base_url)) as client:
        for media_id in ids:
            info = client.get(f"/media/v1/media/{media_id}").raise_for_status().json()
            content = httpx.get(info["url"], trust_env=False).raise_for_status().content
            assert len(content) == info["bytes"]


@pytest.mark.parametrize("language", READERS)
def test_the_bytes_of_a_direct_upload_are_those_of_the_file(
    language: str, base_url: str, outcomes: dict[str, Outcome]
) -> None:
    media_id = printed_id(outcomes[f"{language}: Step 2: Upload Directly to S3"])
    with client_for(base_url, guest_token(base_url)) as client:
        url = client.get(f"/media/v1/media/{media_id}").raise_for_status().json()["url"]
    assert httpx.get(url, trust_env=False).content == drawn(f"{language}-photo.jpg")


def printed_id(outcome: Outcome) -> str:
    """The first id in what an example printed."""
    found = re.search(ID, outcome.printed)
    assert found, outcome
    return found[0]


@pytest.fixture(scope="module")
def in_browser(
    gateway_url: str, images: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Outcome]:
    """What came of every JavaScript example, read from top to bottom in a browser."""
    swaps = substitutions(gateway_url, images)
    chosen = [e for e in EXAMPLES if e.language == "javascript"]
    ran = read_in_browser(
        [substituted(e.source, swaps) for e in chosen],
        drawn("browser-photo.jpg"),
        tmp_path_factory.mktemp("browser"),
    )
    return {e.name: outcome for e, outcome in zip(chosen, ran, strict=True)}


@pytest.mark.parametrize("name", [e.name for e in EXAMPLES if e.language == "javascript"])
def test_example_works_in_a_browser(name: str, in_browser: dict[str, Outcome]) -> None:
    outcome = in_browser[name]
    assert outcome.failure == ""
    assert re.fullmatch({**PRINTED, **IN_A_BROWSER}[name], outcome.printed, re.DOTALL)


@pytest.mark.parametrize("language", ["python", "bash"])
def test_example_downloads_the_image(language: str, outcomes: dict[str, Outcome]) -> None:
    assert Path(outcomes[f"{language}: downloaded"].printed).read_bytes() == drawn("sample-0.jpg")


def shape(value: Any) -> Any:
    """The names in a JSON value, without the values."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None


def missing(wanted: Any, got: Any, at: str = "") -> list[str]:
    """Names that `wanted` has and `got` does not."""
    if isinstance(wanted, dict):
        absent = [f"{at}.{name}" for name in wanted if not isinstance(got, dict) or name not in got]
        return absent + [
            each
            for name in wanted
            if isinstance(got, dict) and name in got
            for each in missing(wanted[name], got[name], f"{at}.{name}")
        ]
    if isinstance(wanted, list) and wanted:
        return missing(wanted[0], got[0] if got else None, f"{at}[0]")
    return []


def documented_response(heading: str) -> Any:
    """The JSON that the page prints below a heading."""
    found = [e for e in EXAMPLES if e.language == "json" and e.heading == heading]
    return json.loads(found[0].source)


@pytest.mark.parametrize(
    ("heading", "example"),
    [
        ("Upload from Remote URL", "bash: Upload from Remote URL"),
        ("Resolve Media IDs", "bash: Resolve Media IDs"),
        ("Get Media Info", "bash: Get Media Info"),
    ],
)
def test_response_has_every_documented_field(
    heading: str, example: str, outcomes: dict[str, Outcome]
) -> None:
    answered = json.loads(outcomes[example].printed)
    assert missing(shape(documented_response(heading)), answered) == []


def test_prepare_upload_has_every_documented_field(guest: httpx.Client) -> None:
    wanted = shape(documented_response("Step 1: Request Presigned URL"))
    request = {"content_type": "image/jpeg", "user_id": "user_789"}
    answered = guest.post("/media/v1/media/prepare-upload", json=request).json()
    assert missing(wanted, answered) == []


def test_an_example_is_named_by_language_heading_and_number() -> None:
    page = "# One\n```bash\na\n```\n```bash\nb\n```\n## Two\n```bash\nc\n```\n"
    assert [e.name for e in examples(page)] == ["bash: One", "bash: One (2)", "bash: Two"]
    assert examples(page)[1] == Example("bash", "One", 2, "b\n")
