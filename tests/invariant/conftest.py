"""The two pairs of backends that the invariant is tested on."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from jan_media.catalog.catalog import Catalog
from jan_media.storage.interface import Storage

from tests.invariant.backends import Backends, on_one_machine, on_services
from tests.support import storages
from tests.support.catalogs import open_migrated


@pytest.fixture(params=["sqlite+local", "postgres+s3"])
def catalog_and_storage(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Catalog, Storage]]:
    """An empty catalog and an empty storage whose signed URLs and forms really work."""
    with ExitStack() as stack:
        if request.param == "sqlite+local":
            catalog = stack.enter_context(open_migrated(f"sqlite:///{tmp_path}/tested.db"))
            served = stack.enter_context(storages.local(tmp_path / "local"))
        else:
            url = request.getfixturevalue("postgres_url")
            catalog = stack.enter_context(open_migrated(url))
            served = stack.enter_context(storages.s3(request.getfixturevalue("ceph")))
        yield catalog, served.storage


@pytest.fixture(params=["sqlite+local", "postgres+s3"])
def backends(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backends]:
    """Empty backends for sidecars to be started on."""
    if request.param == "sqlite+local":
        with on_one_machine(tmp_path) as opened:
            yield opened
    else:
        server = request.getfixturevalue("postgres_server")
        with on_services(tmp_path, server, request.getfixturevalue("ceph")) as opened:
            yield opened
