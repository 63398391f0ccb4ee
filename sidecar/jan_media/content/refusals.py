"""Refusals of a file for its content."""

from jan_media.errors import Refused


class MediaRefused(Refused):
    """A file is refused for its content."""


class TooExpensive(MediaRefused):
    """Decoding takes more time or memory than one image may take."""

    def __init__(self, mime: str) -> None:
        super().__init__(
            "invalid_media",
            f"The content begins as {mime}, but takes more time or memory to decode than an image "
            "may take here: save it smaller, or with another program.",
        )


def broken(mime: str) -> MediaRefused:
    """The refusal of bytes that begin like an image, but cannot be decoded."""
    return MediaRefused("invalid_media", f"The content begins as {mime} but is damaged or cut off.")
