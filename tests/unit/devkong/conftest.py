"""The gateways that most of these tests start."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.raw_http import Upstream, upstream


@pytest.fixture
def echo() -> Iterator[Upstream]:
    """An upstream that answers 200 "hi" and keeps what it got."""
    with upstream() as served:
        yield served


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose name leaves room for a Unix socket's."""
    with TemporaryDirectory(prefix="dk") as folder:
        yield Path(folder)
