"""How every command starts, and how it ends if it cannot do its work."""

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, NoReturn

from jan_media import log
from jan_media.catalog.interface import CatalogUnavailable
from jan_media.errors import CannotStart
from jan_media.settings import Settings, duration, load_settings
from jan_media.storage.interface import StorageUnavailable

if TYPE_CHECKING:
    from jan_media.library.library import Library


def serve_until_stopped() -> None:
    """Serve both listeners until SIGTERM or Ctrl-C."""
    settings = settings_of_environment()
    from jan_media.server.serve import serve

    try:
        serve(settings, announce=lambda line: print(line, flush=True))
    except CannotStart as problem:
        fail(str(problem))


def settings_of_environment() -> Settings:
    """The settings, with the log set up. Ends the process if they are wrong.

    Each command of the sidecar begins with this, and loads the sidecar's parts after it.
    """
    if find_spec("boto3") is None:
        fail(
            "the sidecar is not installed here, only the client of a gateway.\n"
            "Install it, in an environment of its own: pip install 'jan-media-gateway[sidecar]'"
        )
    with failing_plainly():
        settings = load_settings(os.environ)
    log.set_up(settings.log_format)
    for warning in settings.warnings:
        tell(f"warning: {warning}")
    return settings


@contextmanager
def opened_library() -> "Iterator[Library]":
    """The settings' library. Prints errors that an operator can fix, and ends the process."""
    settings = settings_of_environment()
    from jan_media.sidecar import open_library

    with failing_plainly(), closing(open_library(settings)) as library:
        library.catalog.migrate()
        yield library


@contextmanager
def failing_plainly() -> Iterator[None]:
    """End the process on errors that an operator can fix: options, settings, catalog, storage."""
    try:
        yield
    except (CatalogUnavailable, StorageUnavailable, OSError, ValueError, RuntimeError) as problem:
        fail(str(problem))


def milliseconds(option: str) -> int | None:
    """How long an option says; None if it says nothing. Ends the process if it is no duration."""
    with failing_plainly():
        return int(duration(option) * 1000) if option else None


def fail(message: str) -> NoReturn:
    """Print why on stderr, and end the process."""
    tell(message)
    raise SystemExit(1)


def tell(line: str) -> None:
    """Print a line for the user on stderr."""
    print(f"jan-media: {printable(line)}", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Take out what a terminal would obey: control characters except line feeds and tabs."""
    return "".join(
        each if each in "\n\t" or each.isprintable() or each.isspace() else "�"
        for each in text.replace("\r", "")
    )
