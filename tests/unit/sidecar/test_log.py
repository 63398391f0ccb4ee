"""The sidecar's log lines: which request and which caller they are about."""

import contextvars
import io
import json
import logging
from collections.abc import Callable
from concurrent.futures import Future

import pytest
from jan_media import log
from jan_media.server.lanes import Lane


def lines(format: str, say: Callable[[logging.Logger], None]) -> str:
    """What is written when ``say`` is called."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(log.FORMATS[format])
    logger = logging.Logger("jan_media.test")
    logger.addHandler(handler)
    contextvars.copy_context().run(say, logger)
    return out.getvalue()


def say_slow(logger: logging.Logger) -> None:
    log.begin("0f0f").caller = "https://id.example|al\nice"
    logger.warning("slow", extra={"fields": {"ms": 7}})


def test_a_line_names_the_request_and_the_caller() -> None:
    line = lines("text", say_slow)
    assert line.endswith(
        "WARNING jan_media.test slow request=0f0f caller='https://id.example|al\\nice'\n"
    )


def test_a_json_line_has_them_as_fields() -> None:
    said = json.loads(lines("json", say_slow))
    assert said.pop("time").endswith("+00:00")
    assert said == {
        "level": "warning",
        "logger": "jan_media.test",
        "message": "slow",
        "ms": 7,
        "request_id": "0f0f",
        "caller": "https://id.example|al\nice",
    }


def test_a_failure_is_one_json_line_with_its_trace() -> None:
    def fail(logger: logging.Logger) -> None:
        try:
            raise ValueError("odd")
        except ValueError:
            logger.exception("a request failed")

    written = lines("json", fail)
    assert written.count("\n") == 1
    assert "ValueError: odd" in json.loads(written)["exception"]


@pytest.mark.parametrize("forged", ["", "a b", "a\nERROR", "x" * 65, "é", "a=b"])
def test_an_odd_id_is_replaced(forged: str) -> None:
    made = contextvars.copy_context().run(log.begin, forged).request_id
    assert made != forged
    assert len(made) == 32


def test_a_lane_works_for_the_request_that_asks_it() -> None:
    lane = Lane("test", 1)

    def ask() -> "Future[log.About | None]":
        log.begin("0f0f")
        return lane.submit(log.about.get)

    told = contextvars.copy_context().run(ask).result()
    assert told is not None
    assert told.request_id == "0f0f"
    assert lane.submit(log.about.get).result() is None
    lane.close()
