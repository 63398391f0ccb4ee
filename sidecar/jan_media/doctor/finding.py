"""What a check found, and how to fix it."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"  # something that only some installations need does not work
    PROBLEM = "problem"  # the installation cannot run safely, or at all


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; unless it is fine, ``message`` says how to fix it."""

    subject: str
    verdict: Verdict
    message: str


def ok(subject: str, message: str) -> Finding:
    """A finding that needs no action."""
    return Finding(subject, Verdict.OK, message)


def warning(subject: str, message: str) -> Finding:
    """A finding that may need action."""
    return Finding(subject, Verdict.WARNING, message)


def problem(subject: str, message: str) -> Finding:
    """A finding that must be fixed."""
    return Finding(subject, Verdict.PROBLEM, message)
