"""The library that the settings name, opened for one command and closed after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jan_media.catalog.interface import CatalogUnavailable
from jan_media.commands.entry import fail
from jan_media.settings import Settings
from jan_media.storage.interface import StorageUnavailable

if TYPE_CHECKING:
    from jan_media.identity.api_keys import ApiKeyring
    from jan_media.library.library import Library
    from jan_media.library.move import Side


@contextmanager
def opened_library(settings: Settings) -> "Iterator[tuple[Library, ApiKeyring]]":
    """The library and the API keys. A catalog or storage that fails ends the process."""
    from jan_media.sidecar import open_library

    try:
        library, keyring = open_library(settings)
        library.catalog.migrate()
    except (CatalogUnavailable, StorageUnavailable, OSError, ValueError, RuntimeError) as problem:
        fail(str(problem))
    try:
        yield library, keyring
    except (CatalogUnavailable, StorageUnavailable) as problem:
        fail(str(problem))
    finally:
        library.catalog.close()
        library.storage.close()


@contextmanager
def opened_side(settings: Settings) -> "Iterator[Side]":
    """The catalog and the storage alone, as a move and a look at every id need them.

    Raises `StorageUnavailable` and `ValueError` as `open_storage` does.
    """
    from jan_media.catalog.open import open_catalog
    from jan_media.library.move import Side
    from jan_media.storage.open import open_storage

    catalog = open_catalog(settings.database_url)
    try:
        storage = open_storage(settings)
        try:
            yield Side(catalog, storage)
        finally:
            storage.close()
    finally:
        catalog.close()
