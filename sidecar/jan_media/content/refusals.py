"""The reasons to refuse bytes as media."""

from typing import Any

from jan_media.errors import Refused


class MediaRefused(Refused):
    """These bytes are not taken. ``code`` is for programs, ``message`` says why.

    ``facts`` fill the gaps in the text; they are what msgpack can carry.
    """

    code = "invalid_media"
    text = "The content is not taken."

    def __init__(self, **facts: Any) -> None:
        super().__init__(self.code, self.text.format(**facts))
        self.facts = facts


class EmptyFile(MediaRefused):
    """There are no bytes at all."""

    code = "empty_file"
    text = "The file is empty."


class NotMedia(MediaRefused):
    """The bytes are no image, audio, video or PDF that is known here."""

    text = "The content is not an image or any other media type known here."


class TypeNotAllowed(MediaRefused):
    """The bytes are media of a type that the operator does not let in."""

    code = "unsupported_media_type"
    text = "The content is {mime}, which is not allowed here. Allowed: {allowed}."


class BrokenImage(MediaRefused):
    """The bytes begin as an image does, but no decoder shows it."""

    text = "The content begins as {mime} but is damaged or cut off."


class TooManyPixels(MediaRefused):
    """The image's width times height is over the limit."""

    code = "too_many_pixels"
    text = "The image is {size} pixels; at most {max_pixels} in all are allowed."


class TooManyFrames(MediaRefused):
    """An animation or a document with more frames or pages than are looked at."""

    text = "The image has more than {most} frames or pages: send fewer."


class TooExpensive(MediaRefused):
    """Decoding takes more time or memory than one image may take."""

    text = (
        "The content begins as {mime}, but takes more time or memory to decode than an image may "
        "take here: save it smaller, or with another program."
    )


REFUSALS = {
    kind.__name__: kind for kind in (BrokenImage, TooManyPixels, TooManyFrames, TooExpensive)
}
"""Those that a decoder finds, by name."""
