"""Why a signed URL or an upload form of the local storage is not honoured.

The api layer answers `FieldMissing` with 400 and every other refusal with 403, as S3 does. The
messages are for the client: they say what to do and show no secret.
"""


class AccessRefused(Exception):
    """The signed URL or form does not allow this request."""


class AccessExpired(AccessRefused):
    """It was valid once. A new one must be asked for."""


class SignatureMismatch(AccessRefused):
    """It was not signed by us, or not for this method, key or value."""


class FieldMissing(AccessRefused):
    """A form lacks a field that it cannot do without."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is missing.")
        self.name = name


class FieldRefused(AccessRefused):
    """A form field (or the Content-Type of a PUT) is not what was signed."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
