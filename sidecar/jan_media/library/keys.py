"""The names of stored objects. A key is never used twice, so bytes under a key never change."""

import secrets

from jan_media.media_id import created_ms

UPLOADS = "images/"
CONTENTS = "content/"


def fresh_content_key() -> str:
    """A key for the bytes of one content, spread over 256 folders."""
    name = secrets.token_hex(16)
    return f"{CONTENTS}{name[:2]}/{name}"


def upload_key(media_id: str) -> str:
    """The key that a direct upload writes; known to the client, so never served from."""
    return UPLOADS + media_id


def is_upload_key(key: str) -> bool:
    """Whether a client may write, or have written, this key."""
    return key.startswith(UPLOADS)


def held_until(key: str, upload_ttl: int) -> int:
    """Until when (ms) a client may still write the key: 0 unless it is an upload key.

    ``upload_ttl`` is in seconds. The id in the key says when the upload was promised.
    """
    if not is_upload_key(key):
        return 0
    return created_ms(key.removeprefix(UPLOADS)) + upload_ttl * 1000
