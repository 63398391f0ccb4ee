"""The Content-Disposition that a stored object is served with (RFC 6266)."""

import re
from urllib.parse import quote

_PLAIN = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_. ()-]", re.ASCII)


def inline_disposition(filename: str) -> str:
    """Return ``inline`` with ``filename``, safe for a header whatever the name holds.

    A name beyond plain ASCII is sent twice: with underscores for old clients and percent-encoded
    (RFC 8187) for all others.
    """
    if _PLAIN.fullmatch(filename):
        return f'inline; filename="{filename}"'
    plain = _NOT_PLAIN.sub("_", filename)
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
