"""What Kong does, byte by byte, as far as the gateway stands on it.

Not a part of `make test`: `KONG_BIN=… make e2e` runs this suite on real Kong. Run by hand without
KONG_BIN it holds devkong to the same.
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
