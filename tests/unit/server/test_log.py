"""What the log says, and what it never says."""

import contextvars
import json
import logging

import pytest
from jan_media_plugin.server.log import INFO, WARNING, About, Log, about, where
from jan_media_plugin.server.plugin_server import reason


def test_lines_are_plain_and_one_each(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log(WARNING)
    log.warn("first\nforged [error] line \udcff")
    log.info("not at this level")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "[warn] first\\nforged [error] line \\udcff\n")


def test_more_is_said_at_a_higher_level(capsys: pytest.CaptureFixture[str]) -> None:
    Log(INFO).info("started")
    assert capsys.readouterr().err == "[info] started\n"


def test_a_line_about_a_request_names_it_and_the_caller(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def say(log: Log) -> str:
        log.warn("slow")
        return capsys.readouterr().err

    forger = About("0f0f", "al\nice' request=1", "https://id.example")
    entered = contextvars.copy_context()
    entered.run(about.set, forger)
    assert entered.run(say, Log()) == (
        '[warn] slow request=0f0f caller="https://id.example|al\\nice\' request=1"\n'
    )
    said = json.loads(entered.run(say, Log(as_json=True)))
    assert said.pop("time")
    assert said == {
        "level": "warn",
        "message": "slow",
        "request_id": "0f0f",
        "caller": "https://id.example|al\nice' request=1",
    }


def test_lines_of_pythons_loggers_are_lines_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.Logger("jan_media_plugin.resolve")
    logger.addHandler(Log(WARNING))
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logger.log(level, "at %d", level)
    assert capsys.readouterr().err == "[warn] at 30\n[error] at 40\n"


def test_a_failure_is_told_by_its_place_without_its_words() -> None:
    try:
        raise ValueError("Bearer secret")
    except ValueError as failure:
        told = where(failure)
    assert told.startswith("ValueError at server.test_log:")
    assert "secret" not in told
    assert "/" not in told


def test_why_a_configuration_does_not_work_is_told_without_its_values() -> None:
    config = json.dumps({"issuers": [{"secret": "hunter22"}], "auth": "maybe"})
    failure = ValueError("issuers[0].secret 'hunter22' is too short")
    assert reason(failure, config) == "ValueError: issuers[0].secret '…' is too short"
    assert reason(failure, "{") == "it is not JSON"
    assert reason(KeyError("hunter22"), None) == "KeyError"
