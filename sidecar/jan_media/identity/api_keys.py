"""API keys: ``sk_``, 34 random characters and a checksum of 6, all base62.

The checksum (CRC-32 of what precedes it) lets the sidecar refuse a mistyped or invented key without
asking the database, and lets secret scanners recognize a key. It is no protection: that comes from
the 202 random bits, which is also why keys can be stored by a plain SHA-256.
"""

import hashlib
import re
import secrets
import zlib
from collections.abc import Sequence

from jan_media.catalog.api_keys import ApiKeys
from jan_media.catalog.interface import ApiKey

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM = 34
_CHECKSUM = 6  # 62 ** 6 > 2 ** 32
_PATTERN = re.compile(rf"sk_[0-9A-Za-z]{{{_RANDOM + _CHECKSUM}}}", re.ASCII)
PREFIX_LENGTH = len("sk_") + 8
LONGEST_OWNER = 255  # bytes, as of a token's subject


def make_key(
    store: ApiKeys,
    owner: str,
    groups: Sequence[str] = (),
    *,
    now: int,
    expires_at: int | None = None,
) -> tuple[str, ApiKey]:
    """Make and store a key for ``owner``: returns its text, to be shown once, and its record.

    Times are Unix milliseconds. Raises `CatalogUnavailable`, and ValueError for an owner or a group
    that the gateway would not take from it: such a key would open nothing.
    """
    if not _is_name(owner) or len(owner.encode()) > LONGEST_OWNER:
        raise ValueError(
            f"an owner is printable text of at most {LONGEST_OWNER} bytes, without space around"
        )
    if not all(map(_is_name, groups)):
        raise ValueError("a group is printable text without space around")
    body = "sk_" + "".join(secrets.choice(_DIGITS) for _ in range(_RANDOM))
    text = body + _checksum(body)
    record = ApiKey(
        id=f"key_{secrets.token_hex(8)}",
        prefix=text[:PREFIX_LENGTH],
        key_hash=_hash(text),
        owner=owner,
        groups=tuple(groups),
        created_at=now,
        expires_at=expires_at,
        revoked_at=None,
    )
    store.add_api_key(record)
    return text, record


def valid_key(store: ApiKeys, text: str, *, now: int) -> ApiKey | None:
    """The record of a key that is valid at ``now``; None if unknown, revoked or expired.

    Raises `CatalogUnavailable`.
    """
    if not _PATTERN.fullmatch(text) or _checksum(text[:-_CHECKSUM]) != text[-_CHECKSUM:]:
        return None
    record = store.find_api_key(_hash(text))
    return record if record is not None and record.state(now) == "valid" else None


def _is_name(text: str) -> bool:
    return bool(text) and text.isprintable() and text == text.strip()


def _checksum(body: str) -> str:
    value = zlib.crc32(body.encode("ascii"))
    digits = ""
    for _ in range(_CHECKSUM):
        value, digit = divmod(value, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()
