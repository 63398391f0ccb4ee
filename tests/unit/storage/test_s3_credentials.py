"""Credentials that URLs are signed with, static and temporary."""

import threading
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.credentials import RefreshableCredentials
from jan_media.storage.s3_credentials import CurrentCredentials
from jan_media.storage.sigv4 import Credentials


class Issuer:
    """Issues numbered credentials that botocore finds old at once, as a role's would be."""

    def __init__(self) -> None:
        self.issued = 0
        self.away = False
        self.asked = threading.Event()

    def issue(self) -> dict[str, str]:
        self.asked.set()
        if self.away:
            raise OSError("the issuer is away")
        self.issued += 1
        return {
            "access_key": f"ASIA{self.issued}",
            "secret_key": "secret",
            "token": f"token{self.issued}",
            "expiry_time": (datetime.now(UTC) + timedelta(minutes=12)).isoformat(),
        }

    def credentials(self) -> RefreshableCredentials:
        return RefreshableCredentials.create_from_metadata(self.issue(), self.issue, "test")


def awaited(issuer: Issuer) -> None:
    issuer.asked.clear()
    assert issuer.asked.wait(10)


def test_static_credentials_need_no_thread() -> None:
    session = boto3.session.Session(aws_access_key_id="AKID", aws_secret_access_key="secret")
    source = session.get_credentials()
    assert source is not None
    threads = threading.active_count()

    current = CurrentCredentials(source)

    assert current.get() == Credentials("AKID", "secret", None)
    assert threading.active_count() == threads
    current.close()


def test_temporary_credentials_are_renewed_while_nobody_waits() -> None:
    issuer = Issuer()
    current = CurrentCredentials(issuer.credentials(), refresh_seconds=0.01)
    try:
        first = current.get()
        awaited(issuer)
        awaited(issuer)  # the one before it is in place by now
        later = current.get()
    finally:
        current.close()

    assert first.token is not None
    assert int(later.access_key.removeprefix("ASIA")) > int(first.access_key.removeprefix("ASIA"))
    assert later.token == later.access_key.replace("ASIA", "token")


def test_the_last_credentials_stay_while_the_issuer_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    issuer = Issuer()
    current = CurrentCredentials(issuer.credentials(), refresh_seconds=0.01)
    try:
        current.get()
        issuer.away = True
        awaited(issuer)
        awaited(issuer)
        kept = current.get()
        awaited(issuer)
        assert current.get() == kept
        issuer.away = False
        awaited(issuer)
        awaited(issuer)
        assert current.get() != kept
    finally:
        current.close()


def test_temporary_credentials_need_no_thread_before_they_are_used() -> None:
    threads = threading.active_count()
    current = CurrentCredentials(Issuer().credentials())
    assert threading.active_count() == threads
    current.close()


def test_the_first_use_renews_credentials_that_became_old_since_they_were_read() -> None:
    issuer = Issuer()
    current = CurrentCredentials(issuer.credentials())
    issued = issuer.issued
    try:
        assert current.get().access_key == f"ASIA{issued + 1}"
    finally:
        current.close()


def test_closing_ends_the_thread() -> None:
    current = CurrentCredentials(Issuer().credentials())
    current.get()

    current.close()

    assert "s3-credentials" not in {thread.name for thread in threading.enumerate()}
