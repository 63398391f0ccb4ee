"""compose.yaml is valid for Docker Compose, and its settings exist."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from jan_media.settings import load_settings

from demo.addresses import HOST, Ports
from demo.kong_settings import ROOT

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SECRET = "a-secret-of-more-than-16-letters"


def checked(file: Path) -> int:
    """Check a file against the published schema, and return the checker's exit status."""
    command = ["check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, check=False
    ).returncode


def settings(name: str, **given: str) -> dict[str, str]:
    """Return a service's variables as Compose would fill them in from ``given``."""

    def value(match: re.Match[str]) -> str:
        return given.get(match[1], match[2] or "")

    variables = SERVICES[name]["environment"]
    return {
        key: re.sub(r"\$\{(\w+)(?::[-?]([^}]*))?\}", value, text) for key, text in variables.items()
    }


def test_the_published_schema_takes_it() -> None:
    assert checked(ROOT / "compose.yaml") == 0


def test_the_check_can_fail(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((ROOT / "compose.yaml").read_text("utf-8").replace("depends_on", "depend_on"))
    assert checked(wrong) != 0


def test_the_sidecar_knows_its_settings_on_one_machine() -> None:
    given = settings("sidecar", JAN_GATEWAY_SECRET=SECRET)
    kept = {name: value for name, value in given.items() if "_S3_" not in name}
    read = load_settings(kept)
    assert read.warnings == []
    assert read.public_url == "http://localhost:8000/media"


def test_the_sidecar_knows_its_settings_with_both_profiles() -> None:
    database = f"postgresql://jan:{SECRET}@localhost/jan"
    given = settings(
        "sidecar",
        JAN_GATEWAY_SECRET=SECRET,
        MEDIA_STORAGE_BACKEND="s3",
        MEDIA_DATABASE_URL=database,
    )
    assert load_settings(given).warnings == []


def test_parts_listen_where_kong_yml_looks_for_them() -> None:
    usual = Ports()
    given = settings("sidecar")
    assert given["MEDIA_LISTEN"] == f"{HOST}:{usual.public}"
    assert given["MEDIA_INTERNAL_LISTEN"] == f"{HOST}:{usual.internal}"
    for name, service in SERVICES.items():
        assert name == "net" or service["network_mode"] == "service:net"


def test_a_browser_on_this_machine_reaches_the_gateway_and_nobody_else_does() -> None:
    assert "127.0.0.1:8000:8000" in SERVICES["net"]["ports"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["net"]["ports"])


def test_every_part_starts_again_and_waits_for_what_it_needs() -> None:
    for name, service in SERVICES.items():
        if name != "bucket":
            assert service["restart"] == "unless-stopped"
    assert SERVICES["kong"]["depends_on"] == {
        "sidecar": {"condition": "service_healthy"},
        "llm": {"condition": "service_healthy"},
    }


def test_our_own_containers_can_write_nowhere_but_to_their_volumes() -> None:
    for name in ("kong", "sidecar", "llm"):
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        # Docker and Podman both take a mode here; Podman takes no uid.
        assert set(SERVICES[name]["tmpfs"]) <= {"/tmp", "/kong_prefix:mode=1777"}
