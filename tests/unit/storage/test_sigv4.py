"""Our signatures are those of AWS: by its published example, and by botocore for many inputs."""

import calendar
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st
from jan_media.storage.sigv4 import LONGEST_TTL, presign

ENDPOINT = "http://s3.example.test:9000"
KEY = "content/2c/f24dba5fb0a30e.bin"


def botocore_client(credentials: ReadOnlyCredentials, *, path_style: bool = True) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=ENDPOINT,
        region_name="eu-central-1",
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.token,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if path_style else "virtual"},
        ),
    )


def moment_of(url: str) -> float:
    """When a URL was signed, in Unix seconds."""
    (date,) = parse_qs(urlsplit(url).query)["X-Amz-Date"]
    return calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))


def same_url(ours: str, theirs: str) -> bool:
    """The same address and parameters, signature included; only their order is free."""
    mine, other = urlsplit(ours), urlsplit(theirs)
    return mine[:3] == other[:3] and parse_qs(mine.query) == parse_qs(other.query)


STATIC = ReadOnlyCredentials("AKIDEXAMPLE", "a secret/with+signs=", None)
TEMPORARY = ReadOnlyCredentials("ASIAEXAMPLE", "another/secret", "a/session+token==")


def signed(credentials: ReadOnlyCredentials, *, now: float = 0, ttl: int = 60) -> str:
    return presign(credentials, "eu-central-1", "GET", "http://s3.test/a", ttl=ttl, now=now)


def test_the_example_of_the_aws_documentation() -> None:
    url = presign(
        ReadOnlyCredentials(
            "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None
        ),
        "us-east-1",
        "GET",
        "https://examplebucket.s3.amazonaws.com/test.txt",
        ttl=86400,
        now=calendar.timegm((2013, 5, 24, 0, 0, 0)),
    )

    assert url.endswith(
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


@pytest.mark.parametrize("credentials", [STATIC, TEMPORARY], ids=["static", "temporary"])
@pytest.mark.parametrize("path_style", [True, False], ids=["path", "virtual"])
def test_a_download_is_signed_as_botocore_does(
    credentials: ReadOnlyCredentials, path_style: bool
) -> None:
    theirs = botocore_client(credentials, path_style=path_style).generate_presigned_url(
        "get_object",
        Params={
            "Bucket": "media",
            "Key": KEY,
            "ResponseContentType": "image/svg+xml",
            "ResponseContentDisposition": 'inline; filename="a b~c*.png"',
        },
        ExpiresIn=321,
    )
    bucket = f"{ENDPOINT}/media" if path_style else "http://media.s3.example.test:9000"

    ours = presign(
        credentials,
        "eu-central-1",
        "GET",
        f"{bucket}/{KEY}",
        ttl=321,
        now=moment_of(theirs),
        query={
            "response-content-type": "image/svg+xml",
            "response-content-disposition": 'inline; filename="a b~c*.png"',
        },
    )

    assert same_url(ours, theirs)


@pytest.mark.parametrize("credentials", [STATIC, TEMPORARY], ids=["static", "temporary"])
def test_an_upload_is_signed_as_botocore_does(credentials: ReadOnlyCredentials) -> None:
    theirs = botocore_client(credentials).generate_presigned_url(
        "put_object",
        Params={"Bucket": "media", "Key": KEY, "ContentType": "image/png"},
        ExpiresIn=60,
    )

    ours = presign(
        credentials,
        "eu-central-1",
        "PUT",
        f"{ENDPOINT}/media/{KEY}",
        ttl=60,
        now=moment_of(theirs),
        content_type="image/png",
    )

    assert same_url(ours, theirs)


_BOTOCORE = botocore_client(STATIC)


@given(disposition=st.text(st.characters(codec="utf-8"), min_size=1), ttl=st.integers(1, 604800))
def test_any_response_header_is_signed_as_botocore_does(disposition: str, ttl: int) -> None:
    theirs = _BOTOCORE.generate_presigned_url(
        "get_object",
        Params={"Bucket": "media", "Key": KEY, "ResponseContentDisposition": disposition},
        ExpiresIn=ttl,
    )

    ours = presign(
        STATIC,
        "eu-central-1",
        "GET",
        f"{ENDPOINT}/media/{KEY}",
        ttl=ttl,
        now=moment_of(theirs),
        query={"response-content-disposition": disposition},
    )

    assert same_url(ours, theirs)


def test_each_day_and_each_secret_has_its_own_signing_key() -> None:
    other = ReadOnlyCredentials(STATIC.access_key, "other", None)

    def signature(credentials: ReadOnlyCredentials, day: int) -> str:
        url = signed(credentials, now=day * 86_400)
        return url.rpartition("=")[2]

    first = signature(STATIC, 1)
    assert len({first, signature(STATIC, 2), signature(other, 1)}) == 3
    assert signature(STATIC, 1) == first


@pytest.mark.parametrize("ttl", [0, -1, LONGEST_TTL + 1])
def test_a_life_that_the_protocol_does_not_allow_is_refused(ttl: int) -> None:
    with pytest.raises(ValueError, match="seconds"):
        signed(STATIC, ttl=ttl)


def test_a_timestamp_is_utc() -> None:
    assert "X-Amz-Date=19700101T000000Z" in signed(STATIC, now=0.9)
