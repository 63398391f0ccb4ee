"""A caller, as tokens and API keys name one."""

from dataclasses import dataclass

LONGEST_SUBJECT = 255
"""Bytes, as OpenID Connect has it (Core, section 2). With the longest issuer it makes the longest
identity that the sidecar takes, so that nobody is somebody to one part and nobody to another."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, and who says so: an issuer, or "" for an API key."""

    subject: str
    issuer: str
    groups: tuple[str, ...]


def is_subject(value: object) -> bool:
    """Whether ``value`` can name a caller in a header and mean the same there.

    White space around it would be lost on the way, and make two callers one.
    """
    return (
        isinstance(value, str)
        and value.isprintable()
        and value == value.strip()
        and 0 < len(value.encode()) <= LONGEST_SUBJECT
    )


def groups_of(value: object) -> tuple[str, ...]:
    """Return the groups in a claim: a list of texts, or texts in one, separated by spaces."""
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, list):
        return ()
    return tuple(
        group for group in value if isinstance(group, str) and group.isprintable() and group
    )
