"""docs/configuration.md has every setting of the sidecar and every field of the plugin."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from jan_media.settings import Reader, Settings

from demo.kong_settings import ROOT

PAGE = (ROOT / "docs" / "configuration.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")


def rows(page: str, name: str) -> dict[str, str]:
    """First and second column of every table row whose first column is `name`-like code."""
    return dict(re.findall(rf"^\| `({name})` \| (.*?) \|", page, re.MULTILINE))


def settings_that_are_read() -> dict[str, str]:
    """Every variable that is a setting, with its default if that is the same everywhere."""
    reader = Reader({})
    Settings(reader)
    return reader.defaults


def fields(record: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A Kong schema's fields by name."""
    return {name: field for each in record for name, field in each.items()}


def fields_that_kong_knows() -> list[dict[str, Any]]:
    """The config fields as Kong's query command prints them."""
    command = [sys.executable, "-m", "jan_media_plugin", "--dump"]
    (plugin,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    config: list[dict[str, Any]] = fields(plugin["Schema"]["fields"])["config"]["fields"]
    return config


CONFIG = fields(fields_that_kong_knows())
ISSUER = fields(CONFIG["issuers"]["elements"]["fields"])


def plugin_tables() -> tuple[dict[str, str], dict[str, str]]:
    """The tables of the plugin's fields and of an issuer's fields."""
    plugin = PAGE.split("## The plugin", 1)[1].split("\n## ", 1)[0]
    of_plugin, of_issuer = plugin.split("A record of `issuers`:", 1)
    return rows(of_plugin, r"\w+"), rows(of_issuer, r"\w+")


def test_every_setting_is_documented_and_every_documented_setting_exists() -> None:
    assert sorted(rows(PAGE, r"MEDIA_\w+")) == sorted(settings_that_are_read())


@pytest.mark.parametrize("name", [n for n, default in settings_that_are_read().items() if default])
def test_a_settings_documented_default_is_the_real_one(name: str) -> None:
    assert rows(PAGE, r"MEDIA_\w+")[name] == f"`{settings_that_are_read()[name]}`"


def test_the_readmes_settings_exist() -> None:
    assert set(rows(README, r"MEDIA_\w+")) <= set(settings_that_are_read())


def test_every_field_of_the_plugin_is_documented() -> None:
    of_plugin, of_issuer = plugin_tables()
    assert sorted(of_plugin) == sorted(CONFIG)
    assert sorted(of_issuer) == sorted(ISSUER)


@pytest.mark.parametrize(
    "name", [n for n, f in CONFIG.items() if isinstance(f.get("default"), (str, int, bool))]
)
def test_a_fields_documented_default_is_the_real_one(name: str) -> None:
    default = CONFIG[name]["default"]
    text = str(default).lower() if isinstance(default, bool) else str(default)
    assert plugin_tables()[0][name] == f"`{text}`"


def test_the_documented_places_of_media_are_those_of_the_plugin() -> None:
    (paragraph,) = re.findall(r"^By default an id is media in (.*?)\n\n", PAGE, re.M | re.DOTALL)
    places, never_below = (
        re.findall(r"`([^`]+)`", part) for part in paragraph.split("never below")
    )
    assert places == CONFIG["places"]["default"]
    assert never_below == CONFIG["never_below"]["default"]
