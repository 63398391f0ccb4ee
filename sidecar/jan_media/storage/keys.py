"""Which strings may be a storage key.

The rule is narrower than any service's, so that a key is the same text in a file name, a URL
path, a form field and a signature: nothing ever needs escaping.
"""

import re

MAX_LENGTH = 200  # a file name holds 255 bytes, an S3 key 1024
_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[a-z0-9_.-]+"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)


def is_key(text: str) -> bool:
    """Whether ``text`` is a relative key of ``[a-z0-9_./-]`` without empty or dot segments."""
    return len(text) <= MAX_LENGTH and _KEY.fullmatch(text) is not None


def require_key(key: str) -> str:
    """Return ``key``. Raises `ValueError` if it is none: a mistake of the caller."""
    if not is_key(key):
        raise ValueError(f"not a storage key: {key!r}")
    return key
