"""The names of owners."""

from jan_media.errors import Refused

MAX_BYTES = 1024  # of UTF-8: an index of the catalog holds it


def require_owner(owner: str) -> str:
    """Return ``owner``. Raises `Refused` (``invalid_field``) if no catalog can hold it."""
    try:
        size = len(owner.encode())
    except UnicodeEncodeError:
        raise _refused("must be valid Unicode: it has half a surrogate pair") from None
    if size > MAX_BYTES:
        raise _refused(f"is too long: with its issuer it may have {MAX_BYTES} bytes of UTF-8")
    if "\0" in owner:
        raise _refused("must not contain NUL characters")
    return owner


def _refused(why: str) -> Refused:
    return Refused("invalid_field", f"The user's name {why}", "user_id")
