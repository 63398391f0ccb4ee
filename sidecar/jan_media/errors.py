"""Errors: refusals of what a caller asked for, and reasons why the sidecar cannot start."""


class Refused(Exception):
    """A request that cannot be done as asked: a code for programs, a message for people.

    The message says what to do next and never holds a path, a secret or a signature. ``param``
    names the part of the request at fault; the code that knows the request fills it in.
    """

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param

    def at(self, param: str | None) -> "Refused":
        """Set ``param``, the part of the request at fault, unless it is set already."""
        if self.param is None:
            self.param = param
        return self


class ContentTooLarge(Refused):
    """The content has more than ``limit`` bytes. Raised as soon as that is known, whichever way it
    comes in."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            "max_size_exceeded",
            f"File size exceeds maximum allowed ({megabytes(limit)}): "
            "send a smaller file, or scale the image down first",
        )


class TooBusy(Exception):
    """As many requests of this kind run as the settings allow; the message is for the caller."""

    def __init__(self, at_once: int) -> None:
        super().__init__(
            f"The limit of {at_once} requests of this kind at once is reached: try again soon"
        )


class CannotStart(Exception):
    """Why the sidecar cannot serve; the message is for the operator."""


def megabytes(size: int) -> str:
    """A limit as people write it: ``20 MiB`` for 20971520, exact bytes for anything uneven."""
    whole, rest = divmod(size, 1024 * 1024)
    return f"{whole} MiB" if whole and not rest else f"{size} bytes"
