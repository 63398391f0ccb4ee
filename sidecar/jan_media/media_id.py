"""A media id: ``jan_`` and a ULID in lower-case Crockford base32, 30 characters in all.

The Kong plugin imports this module too, so it imports nothing of the sidecar or the plugin.
The ULID layout (48 bits of Unix milliseconds, 80 bits of randomness, big-endian, 26 digits) is
that of the ULID specification. An id is a capability: its 80 random bits come from the system's
generator for every id, never by counting up within a millisecond, so knowing one says nothing
about its neighbour.
"""

import re
import secrets
import time

PREFIX = "jan_"
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
# 26 digits hold 130 bits and a ULID has 128, so the first digit is at most 7.
PATTERN = re.compile(r"jan_[0-7][0-9a-hjkmnp-tv-z]{25}", re.IGNORECASE | re.ASCII)


def new_media_id(now_ms: int | None = None) -> str:
    """Return a fresh id; ids sort by ``now_ms``, Unix milliseconds (default: now)."""
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    value = (milliseconds << 80) | secrets.randbits(80)
    return PREFIX + "".join(_DIGITS[(value >> shift) & 31] for shift in range(125, -1, -5))


def parse_media_id(text: str) -> str | None:
    """Return ``text`` in canonical lower case if all of it is a media id; otherwise None."""
    return text.lower() if PATTERN.fullmatch(text) else None


def created_ms(media_id: str) -> int:
    """When a canonical id was made, in Unix milliseconds: its first ten digits."""
    value = 0
    for digit in media_id[len(PREFIX) : len(PREFIX) + 10]:
        value = value * 32 + _DIGITS.index(digit)
    return value
