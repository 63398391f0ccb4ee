"""What the log says, and what it never says."""

import contextvars
import json
import logging
import sys
from typing import Any

from jan_media.log import About, about
from jan_media_plugin.server.log import Lines, where

TEXT, JSON = Lines(as_json=False), Lines(as_json=True)
FORGER = About("0f0f", "https://id.example|al\nice' request=1")


def line(formatter: logging.Formatter, text: str, level: int = logging.WARNING) -> str:
    return formatter.format(logging.LogRecord("x", level, "x.py", 1, text, (), None))


def about_forger(formatter: logging.Formatter) -> str:
    entered = contextvars.copy_context()
    entered.run(about.set, FORGER)
    return entered.run(line, formatter, "slow")


def test_lines_are_plain_and_one_each() -> None:
    assert line(TEXT, "first\nforged [error] line") == "[warn] first\\nforged [error] line"
    levels = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
    said = [line(TEXT, "x", level) for level in levels]
    assert said == ["[debug] x", "[info] x", "[warn] x", "[error] x", "[error] x"]


def test_a_line_about_a_request_names_it_and_the_caller() -> None:
    assert about_forger(TEXT) == (
        '[warn] slow request=0f0f caller="https://id.example|al\\nice\' request=1"'
    )
    said = json.loads(about_forger(JSON))
    assert said.pop("time")
    assert said == {
        "level": "warn",
        "message": "slow",
        "request_id": "0f0f",
        "caller": "https://id.example|al\nice' request=1",
    }


def test_what_was_raised_is_not_told() -> None:
    try:
        raise ValueError("Bearer secret")
    except ValueError:
        raised: Any = sys.exc_info()
    record = logging.LogRecord("asyncio", logging.ERROR, "x.py", 1, "failed", (), raised)
    assert TEXT.format(record) == "[error] failed"
    assert "secret" not in JSON.format(record)


def test_a_failure_is_told_by_its_place_without_its_words() -> None:
    try:
        raise ValueError("Bearer secret")
    except ValueError as failure:
        told = where(failure)
    assert told.startswith("ValueError at server.test_log:")
    assert "secret" not in told
    assert "/" not in told
