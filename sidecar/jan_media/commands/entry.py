"""The ``jan-media`` command: where it begins, and how it ends if it cannot do what it should."""

import os
import sys
from importlib.util import find_spec
from typing import NoReturn

from jan_media import log
from jan_media.errors import CannotStart
from jan_media.settings import Settings, WrongSettings, duration, load_settings


def main() -> None:
    """Entry point of the ``jan-media`` command."""
    # What reads options is as large as the rest of a supervisor, which may run for months.
    if sys.argv[1:] == ["serve"]:
        serve_until_stopped()
        return
    from jan_media.commands.app import app

    app()


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
    try:
        loaded = load_settings(os.environ)
    except WrongSettings as wrong:
        fail_for(wrong)
    log.set_up(loaded.settings.log_format)
    for warning in loaded.warnings:
        tell(f"warning: {warning}")
    return loaded.settings


def duration_of(option: str) -> float:
    """The seconds that an option such as ``30d`` means. Ends the process if it means none."""
    try:
        return duration(option)
    except ValueError as problem:
        fail(str(problem))


def fail_for(wrong: WrongSettings) -> NoReturn:
    """End the process for settings that are wrong."""
    fail("these settings are wrong:\n" + "\n".join(f"  {line}" for line in wrong.problems))


def fail(message: str) -> NoReturn:
    """End the process, and say why."""
    tell(message)
    raise SystemExit(1)


def tell(line: str) -> None:
    """Say on stderr what a user should know."""
    print(f"jan-media: {printable(line)}", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Take out what a terminal would obey: control characters, but for new lines and tabs."""
    return "".join(
        each if each in "\n\t" or each.isprintable() or each.isspace() else "�"
        for each in text.replace("\r", "")
    )
