"""The behavior of Kong that the gateway relies on, byte by byte.

`make test` does not run this suite; `KONG_BIN=… make e2e` runs it on real Kong. Run by hand without
KONG_BIN, it checks devkong.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.raw_http import Upstream, answers, upstream


@pytest.fixture(scope="module")
def served() -> Iterator[Upstream]:
    """An upstream that keeps what it gets."""
    with upstream() as served:
        yield served


@pytest.fixture
def up(served: Upstream) -> Upstream:
    """The same, with nothing received yet; answers 200 "hi" until a test changes `behave`."""
    served.requests.clear()
    served.behave = answers()
    return served


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder whose name leaves room for a Unix socket's."""
    with TemporaryDirectory(prefix="kg") as name:
        yield Path(name)
