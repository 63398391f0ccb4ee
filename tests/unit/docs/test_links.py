"""Every link of a page leads to an existing file, and to an existing heading in it."""

import re
from pathlib import Path

import pytest

from demo.kong_settings import ROOT

CONTRACT = ROOT / "sidecar" / "jan_media" / "api" / "openapi.yaml"  # its text is the reference
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), CONTRACT])
# It stays as it was published, with links to other pages of where it was.
PUBLISHED = ROOT / "docs" / "media-api-examples.md"
LINK = re.compile(r"(?<!\\)\[(?:[^\]\[]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.M)
FENCE = re.compile(r"^ *```.*?^ *```", re.M | re.S)


def prose(page: Path) -> str:
    """Return a page without its code."""
    return re.sub(r"`[^`\n]*`", "code", FENCE.sub("", page.read_text("utf-8")))


def anchors(page: Path) -> set[str]:
    """Return what links to headings of a page may name, as GitHub makes it."""
    text = FENCE.sub("", page.read_text("utf-8"))
    found: set[str] = set()
    for heading in HEADING.findall(text):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        number = 1
        while (name if number == 1 else f"{name}-{number - 1}") in found:
            number += 1
        found.add(name if number == 1 else f"{name}-{number - 1}")
    return found


def dead_links(page: Path, text: str) -> list[str]:
    """Return the links of a text that lead to no file of the repository, or to no heading."""
    dead = []
    for link in LINK.findall(text):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        there = target.exists() and ROOT in (target, *target.parents)
        if not there or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = dead_links(page, prose(page))
    if page == PUBLISHED:
        dead = [link for link in dead if link.startswith("#")]
    assert dead == []


def test_a_dead_link_is_found() -> None:
    text = "[a](docs/nowhere.md) [b](README.md#no-such-heading) [c](#how-it-works) [d](README.md)"
    found = dead_links(ROOT / "README.md", text)
    assert found == ["docs/nowhere.md", "README.md#no-such-heading"]


def test_every_page_is_linked_from_another() -> None:
    """A page to which nothing leads is read by nobody."""
    linked = set()
    for page in PAGES:
        for link in LINK.findall(prose(page)):
            if not re.match(r"[a-z][a-z0-9+.-]*:", link):
                linked.add((page.parent / link.partition("#")[0]).resolve())
    folders = {each for each in linked if each.is_dir()}
    lonely = [
        str(page.relative_to(ROOT))
        for page in PAGES
        if page not in linked and page.parent not in folders and page.name != "README.md"
    ]
    assert lonely == []
