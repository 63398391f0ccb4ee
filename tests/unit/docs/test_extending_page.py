"""docs/extending.md: its code does what the page says."""

import dataclasses
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from jan_media.catalog.sqlite import SqliteCatalog
from jan_media.content.allowed_types import AllowedTypes
from jan_media.errors import Refused
from jan_media.library.direct_upload import prepare
from jan_media.library.ingest import store
from jan_media.library.library import Library, Rules
from jan_media.library.resolve import link
from jan_media.library.spool import Spool
from jan_media.settings import Reader, Settings
from jan_media_plugin.config import Config
from jan_media_plugin.schema import schema_of

from demo.kong_settings import ROOT
from tests.support.pictures import picture

PAGE = (ROOT / "docs" / "extending.md").read_text("utf-8")


def defined_on_the_page(name: str) -> Any:
    """What the block of the page that defines a class of this name makes it."""
    blocks = re.findall(r"^ *```python\n(.*?)^ *```", PAGE, re.M | re.S)
    (block,) = [each for each in blocks if re.search(rf"^ *class {name}\b", each, re.M)]
    made: dict[str, Any] = {"__name__": "extending"}
    exec(textwrap.dedent(block), made)
    return made[name]


def test_the_setting_is_read_and_checked() -> None:
    shown = defined_on_the_page("Settings")
    assert shown(Reader({"MEDIA_MOST_THUMBNAILS": "8"})).most_thumbnails == 8
    wrong = Reader({"MEDIA_MOST_THUMBNAILS": "65"})
    assert shown(wrong).most_thumbnails == 4
    assert wrong.problems[0].startswith("MEDIA_MOST_THUMBNAILS: ")
    assert not hasattr(
        Settings(Reader({})), "most_thumbnails"
    )  # or the page's example is one no more


def test_the_field_is_in_kongs_schema() -> None:
    (field,) = schema_of(defined_on_the_page("Config"))
    assert field["shortest_ttl"]["between"] == [1, 3600]
    assert "shortest_ttl" not in {each.name for each in dataclasses.fields(Config)}


def test_the_storage_keeps_and_gives_media(tmp_path: Path) -> None:
    data = picture()
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    catalog.migrate()
    library = Library(
        catalog=catalog,
        storage=defined_on_the_page("MemoryStorage")(),
        rules=Rules(AllowedTypes("image/*"), 10**6, 10**6, 10**6, 10**6, 60, 60),
        spool_dir=tmp_path,
    )
    with Spool(tmp_path, max_bytes=10**6) as spool:
        spool.write(data)
        media = store(library, spool, "ann").media
    assert media.id in link(library, media).url
    with library.storage.read(media.storage_key, start=1) as pieces:
        assert b"".join(pieces) == data[1:]
    with pytest.raises(Refused, match="POST /v1/media"):
        prepare(library, "image/png", "ann")  # it takes no direct uploads
    catalog.close()
