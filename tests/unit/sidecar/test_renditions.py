"""Renditions over a real SQLite catalog and a real local storage."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from jan_media.catalog.interface import Media, Rendition
from jan_media.catalog.sqlite import SqliteCatalog
from jan_media.content.allowed_types import AllowedTypes
from jan_media.content.decoders import DECODERS
from jan_media.content.refusals import TooExpensive
from jan_media.errors import Refused
from jan_media.library import renditions
from jan_media.library.ingest import store
from jan_media.library.library import Library, Rules
from jan_media.library.spool import Spool
from jan_media.library.sweep import give_up, sweep
from jan_media.renditions.fit import Fit
from jan_media.storage.local import LocalStorage
from PIL import Image

from tests.support.storages import keys_of
from tests.unit.content.damage import saved

NOW = 1_766_484_000_000
SMALL = Fit(types=("image/jpeg", "image/png"), max_edge=30)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    catalog.migrate()
    yield Library(
        catalog=catalog,
        storage=LocalStorage(tmp_path / "objects", public_url="http://media", secret=b"s" * 32),
        rules=Rules(
            allowed_types=AllowedTypes("image/*,audio/*"),
            max_bytes=100_000,
            max_pixels=1_000_000,
            retention_ms=30 * 86_400_000,
            hold_ms=60 * 60_000,
            download_ttl=300,
            upload_ttl=900,
        ),
        spool_dir=tmp_path,
        clock=lambda: NOW,
    )
    catalog.close()


def uploaded(library: Library, data: bytes) -> Media:
    with Spool(library.spool_dir, max_bytes=library.rules.max_bytes) as spool:
        spool.write(data)
        return store(library, spool, "ann").media


def keys(library: Library) -> set[str]:
    return {*keys_of(library.storage)}


def test_a_rendition_is_made_once_however_many_ask(library: Library) -> None:
    media = uploaded(library, saved("PNG"))
    with ThreadPoolExecutor(6) as threads:
        made = [*threads.map(lambda _: renditions.make(library, media, SMALL), range(6))]
    assert len({*made}) == 1
    assert keys(library) == {media.storage_key, made[0].storage_key}
    assert renditions.known(library, [media], SMALL) == {media.sha256: made[0]}
    fitted = renditions.as_it_fits(media, made[0])
    with library.storage.read(fitted.storage_key) as pieces:
        content = b"".join(pieces)
    assert len(content) == fitted.bytes
    assert Image.open(io.BytesIO(content)).size == (made[0].width, made[0].height) == (30, 22)
    assert fitted.id == media.id


def test_what_fits_is_remembered_and_not_stored_again(library: Library) -> None:
    media = uploaded(library, saved("PNG"))
    made = renditions.make(library, media, Fit(max_edge=64))
    assert made == Rendition("", "image/png", media.bytes, 64, 48)
    assert renditions.as_it_fits(media, made) == media
    assert keys(library) == {media.storage_key}


def test_renditions_go_with_the_original(library: Library) -> None:
    media = uploaded(library, saved("PNG"))
    renditions.make(library, media, SMALL)
    renditions.make(library, media, Fit(types=("image/jpeg",)))
    assert len(keys(library)) == 3
    give_up(library, media.id, "ann")
    sweep(library, "test")
    assert keys(library) == set()


def test_what_cannot_be_made_to_fit_is_remembered(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = uploaded(library, saved("PNG"))
    impossible = Fit(types=("image/png",), max_bytes=16)
    made = renditions.make(library, media, impossible)
    with pytest.raises(Refused, match="cannot be converted") as refused:
        renditions.as_it_fits(media, made)
    assert refused.value.code == "invalid_media"
    monkeypatch.setattr(renditions, "DECODERS", None)  # nobody is asked a second time
    assert renditions.make(library, media, impossible) == made


def test_what_takes_too_long_is_worth_one_more_try_and_then_none(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_slow(*asked: object, **limits: object) -> None:
        raise TooExpensive("image/png")

    media = uploaded(library, saved("PNG"))
    monkeypatch.setattr(DECODERS, "run", too_slow)
    with pytest.raises(Refused) as first:
        renditions.make(library, media, SMALL)
    assert first.value.code == "service_unavailable"
    with pytest.raises(Refused) as second:
        renditions.as_it_fits(media, renditions.make(library, media, SMALL))
    assert second.value.code == "invalid_media"
    assert keys(library) == {media.storage_key}


def test_an_original_that_is_gone_has_no_rendition(library: Library) -> None:
    media = uploaded(library, saved("PNG"))
    give_up(library, media.id, "ann")
    sweep(library, "test")
    with pytest.raises(Refused, match="not found"):
        renditions.make(library, media, SMALL)
    sweep(library, "test")
    assert keys(library) == set()


def test_what_is_no_picture_is_never_looked_at(library: Library) -> None:
    sound = uploaded(library, b"ID3\x04\0\0\0\0\0\0" + b"\0" * 100)
    assert renditions.known(library, [sound], SMALL) == {}
    assert renditions.as_it_fits(sound, None) == sound
