"""What a check found, and how to fix it."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"  # something that only some installations need does not work
    PROBLEM = "problem"  # it cannot be run safely, or at all, like this


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; unless it is fine, ``message`` says how to fix it."""

    subject: str
    verdict: Verdict
    message: str


def ok(subject: str, message: str) -> Finding:
    """It is as it should be."""
    return Finding(subject, Verdict.OK, message)


def warning(subject: str, message: str) -> Finding:
    """It is doubtful."""
    return Finding(subject, Verdict.WARNING, message)


def problem(subject: str, message: str) -> Finding:
    """It is wrong."""
    return Finding(subject, Verdict.PROBLEM, message)
