"""The one error for bytes that are more than the limit, whichever way they come in."""


class ContentTooLarge(Exception):
    """The content has more than ``limit`` bytes. Raised as soon as that is known."""

    code = "max_size_exceeded"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The content is larger than the allowed {limit} bytes.")
        self.limit = limit
        self.message = str(self)
