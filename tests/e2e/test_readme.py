"""The README's commands do what it says."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from demo.kong_settings import ROOT

README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = re.findall(r"^```bash\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_five_minutes_are_these_steps() -> None:
    assert [each.splitlines()[0] for each in COMMANDS] == [
        "make demo",
        "make up",
        "# Any picture will do. This draws one.",
        "# A guest's token",
    ]


@pytest.mark.timeout(240)
def test_make_demo_tells_the_story_and_succeeds() -> None:
    finished = subprocess.run(
        ["make", "demo"], cwd=ROOT, capture_output=True, text=True, timeout=220, check=False
    )
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-3000:]
    assert "the client sent" in finished.stdout
    assert "the model received" in finished.stdout
    assert "deduped is true" in finished.stdout
    turns = re.findall(r"^ +(\d+) +([\d.]+) MB +(.+?) +([\d.]+) kB", finished.stdout, re.MULTILINE)
    outcomes = [straight for _, _, straight, _ in turns]
    assert outcomes == [*["200"] * 8, "413", "the session is dead"]
    *_, (_, sent, _, received) = turns
    assert (sent, round(float(received))) == ("41.5", 4)
    assert "of 41.5 MB in the tenth the model receives 4 kB" in README


def test_a_newcomers_commands_work(gateway_url: str, tmp_path: Path) -> None:
    story = "".join(COMMANDS[2:]).replace("http://localhost:8000", gateway_url)
    story = story.replace(".venv/bin/python", sys.executable)
    story = story.replace(".venv/bin/jan-media", f"{sys.executable} -m jan_media")
    finished = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", story],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "JAN_MEDIA_GATEWAY_URL": gateway_url,
            "XDG_STATE_HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    photo = hashlib.sha256((tmp_path / "photo.jpg").read_bytes()).hexdigest()
    assert finished.stdout.count(f"sha256 {photo}") == 2
    assert f"{photo}  photo.jpg" in finished.stdout
    assert '"authentication_error"' in finished.stdout
