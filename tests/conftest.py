"""Shared by a whole test run: the real services, each started once and only if a test needs it."""

import functools
from collections.abc import Iterator
from pathlib import Path

import httpx
import hypothesis
import pytest
from httpx._transports import default as httpx_transport
from jan_media.catalog.catalog import Catalog

from tests.support import ceph as ceph_cluster
from tests.support import postgres
from tests.support.catalogs import open_migrated
from tests.support.fuzzing import FACTOR, LONGEST, examples

# httpx reads the world's certificates for each new client: 30 ms, thousands of times in a run.
httpx_transport.create_ssl_context = functools.cache(  # type: ignore[attr-defined]
    httpx.create_ssl_context
)

if FACTOR > 1:
    hypothesis.settings.register_profile("fuzz", max_examples=examples(100), deadline=None)
    hypothesis.settings.load_profile("fuzz")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every property test, so that `make fuzz` finds those of all folders."""
    for item in items:
        if getattr(getattr(item, "function", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.fuzz)
            if FACTOR > 1:
                item.add_marker(pytest.mark.timeout(LONGEST))


@pytest.fixture(scope="session")
def ceph() -> Iterator[ceph_cluster.Ceph]:
    """A real S3 service (Ceph RGW)."""
    with ceph_cluster.running() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.PostgresServer]:
    """A real PostgreSQL server. Do not stop it: see `own_postgres_server`."""
    with postgres.running() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: postgres.PostgresServer) -> str:
    """An empty database on the shared server."""
    return postgres_server.new_database()


@pytest.fixture(scope="session")
def second_postgres_server() -> Iterator[postgres.PostgresServer]:
    """The server behind `own_postgres_server`."""
    with postgres.running() as server:
        yield server


@pytest.fixture
def own_postgres_server(
    second_postgres_server: postgres.PostgresServer,
) -> Iterator[postgres.PostgresServer]:
    """A PostgreSQL server that a test may stop, crash and freeze: nothing else uses it."""
    yield second_postgres_server
    second_postgres_server.restore()


@pytest.fixture(params=["sqlite", "postgres"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/catalog.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[Catalog]:
    """A catalog of each kind in turn, ready for use."""
    with open_migrated(catalog_url) as opened:
        yield opened
