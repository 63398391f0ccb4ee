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
