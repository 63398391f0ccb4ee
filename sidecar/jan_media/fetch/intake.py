"""How much a server may send that is no content: heads, interim answers, chunk sizes, TLS.

All of that is taken apart piece by piece in Python, and so costs a thousand times what content of
its length does. Without a limit one server that sends nothing but chunks of a byte, or one
``100 Continue`` after another, would keep a worker busy.
"""

from jan_media.fetch.errors import FetchFailed

_MOST_AROUND = 48 * 1024  # a head and a TLS handshake of any usual size
_CONTENT_FOR_ONE_AROUND = 4  # chunks of a few dozen bytes and more are fine
_FIRST_READ = 4 * 1024


class Intake:
    """Counts the bytes that come over one request's connection, and those that are content."""

    def __init__(self) -> None:
        self._received = 0
        self._content = 0

    def most_to_read(self) -> int:
        """How much to read at once, now that all that came before is worked off.

        It is little until content has come, since a read is worked off in one go. Raises
        `FetchFailed` if too little of what came is content.
        """
        around = self._received - self._content
        if around > _MOST_AROUND + self._content // _CONTENT_FOR_ONE_AROUND:
            raise FetchFailed("The server sent too much that is not content.")
        return _FIRST_READ + self._content

    def received(self, size: int) -> None:
        """Count what has been read."""
        self._received += size

    def content(self, size: int) -> None:
        """Count content."""
        self._content += size
