"""Who owns media: the name of an owner in the catalog, and how much one may keep."""

from jan_media.catalog.interface import QuotaExceeded
from jan_media.errors import Refused, megabytes

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


def over_quota(exceeded: QuotaExceeded) -> Refused:
    """The refusal of more than an owner may keep: with numbers, and what to do."""
    used, quota = exceeded.used, exceeded.quota
    what_to_do = "Delete what is not needed any more: GET /v1/media lists it"
    if quota.files and used.files >= quota.files:
        return Refused(
            "quota_files_exceeded",
            f"You keep {used.files} files, and {quota.files} are the most you may. {what_to_do}",
        )
    return Refused(
        "quota_bytes_exceeded",
        f"You keep {used.bytes} bytes, and {megabytes(quota.bytes)} are the most you may: this "
        f"file does not fit. {what_to_do}",
    )
