"""The credentials that URLs are signed with: always at hand, also when they are temporary.

Credentials of the AWS chain (instance or container roles, web identity, SSO) expire, and
botocore renews them by a request to whoever issues them when it finds them old. Signing a URL
must not wait for that, so a thread asks botocore every minute and signing takes what it had last.
botocore renews a quarter of an hour before the end: a URL of temporary credentials is good for
about as long at most, whatever its own time says.

The thread starts when credentials are first asked for, so that a storage can be made before a fork,
which threads do not survive.
"""

import logging
import threading
from typing import Protocol

from botocore.credentials import ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import NoCredentialsError

from jan_media.storage.sigv4 import Credentials

_log = logging.getLogger(__name__)
_REFRESH_SECONDS = 60.0


class CredentialSource(Protocol):
    """botocore's credentials, whatever their kind."""

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """The current ones; may renew them first."""


class CurrentCredentials:
    """What to sign with now. Static credentials are read once, temporary ones kept fresh."""

    def __init__(
        self, source: CredentialSource, *, refresh_seconds: float = _REFRESH_SECONDS
    ) -> None:
        """Reads ``source`` once; raises whatever botocore raises if it has nothing to give."""
        self._source = source
        self._refresh_seconds = refresh_seconds
        self._closed = threading.Event()
        self._latest = _frozen(source)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._needs_thread = isinstance(source, RefreshableCredentials)

    def get(self) -> Credentials:
        """The latest credentials. Only the first call may wait, if they became old meanwhile."""
        if self._needs_thread:
            self._start_thread()
        return self._latest

    def close(self) -> None:
        """Stop keeping them fresh."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _start_thread(self) -> None:
        with self._starting:
            if self._needs_thread:
                self._renew()
                self._thread = threading.Thread(
                    target=self._keep_fresh, name="s3-credentials", daemon=True
                )
                self._thread.start()
                self._needs_thread = False

    def _keep_fresh(self) -> None:
        while not self._closed.wait(self._refresh_seconds):
            self._renew()

    def _renew(self) -> None:
        try:
            self._latest = _frozen(self._source)
        except Exception as error:  # whatever a credential provider may raise
            _log.warning("cannot renew the S3 credentials yet: %s", error)


def _frozen(source: CredentialSource) -> Credentials:
    current = source.get_frozen_credentials()
    if not current.access_key or not current.secret_key:
        raise NoCredentialsError
    return Credentials(current.access_key, current.secret_key, current.token or None)
