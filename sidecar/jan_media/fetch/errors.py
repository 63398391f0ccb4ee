"""Why a remote fetch was refused or failed. Messages name the host, never an address behind it."""

from jan_media.errors import Refused


class RemoteFetchError(Refused):
    """The content could not be had; ``code`` is the error code, ``message`` says why."""

    code = "remote_fetch_failed"

    def __init__(self, message: str) -> None:
        super().__init__(self.code, message)


class InvalidUrl(RemoteFetchError):
    """The text is not an absolute http or https URL."""

    code = "invalid_url"


class UrlNotAllowed(RemoteFetchError):
    """The URL is well formed, but the policy forbids going there."""

    code = "url_not_allowed"


class FetchFailed(RemoteFetchError):
    """The other side is away, answered with an error or broke off."""


class FetchTimeout(RemoteFetchError):
    """The other side was too slow."""

    code = "remote_fetch_timeout"


def broke_off(host: str) -> FetchFailed:
    """The failure of a connection, or of its protocol."""
    return FetchFailed(f"The server at {host} could not be reached or broke off.")
