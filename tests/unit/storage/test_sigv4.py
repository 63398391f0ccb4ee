"""Our signatures are those of AWS: by its published example, and by botocore for many inputs."""

import calendar
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st
from jan_media.storage.s3 import bucket_address
from jan_media.storage.sigv4 import LONGEST_TTL, Credentials, Signer, signed_form, timestamp

ENDPOINT = "http://s3.example.test:9000"
KEY = "content/2c/f24dba5fb0a30e.bin"


def botocore_client(credentials: Credentials, *, path_style: bool = True) -> Any:
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


STATIC = Credentials("AKIDEXAMPLE", "a secret/with+signs=")
TEMPORARY = Credentials("ASIAEXAMPLE", "another/secret", "a/session+token==")


def test_the_example_of_the_aws_documentation() -> None:
    url = Signer("us-east-1").presign(
        Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        "GET",
        origin="https://examplebucket.s3.amazonaws.com",
        host="examplebucket.s3.amazonaws.com",
        path="/test.txt",
        ttl=86400,
        now=calendar.timegm((2013, 5, 24, 0, 0, 0)),
    )

    assert url.endswith(
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


@pytest.mark.parametrize("credentials", [STATIC, TEMPORARY], ids=["static", "temporary"])
@pytest.mark.parametrize("path_style", [True, False], ids=["path", "virtual"])
def test_a_download_is_signed_as_botocore_does(credentials: Credentials, path_style: bool) -> None:
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
    address = bucket_address(ENDPOINT, "media", path_style=path_style)

    ours = Signer("eu-central-1").presign(
        credentials,
        "GET",
        origin=address.origin,
        host=address.host,
        path=f"{address.path}/{KEY}",
        ttl=321,
        now=moment_of(theirs),
        query={
            "response-content-type": "image/svg+xml",
            "response-content-disposition": 'inline; filename="a b~c*.png"',
        },
    )

    assert same_url(ours, theirs)


@pytest.mark.parametrize("credentials", [STATIC, TEMPORARY], ids=["static", "temporary"])
def test_an_upload_is_signed_as_botocore_does(credentials: Credentials) -> None:
    theirs = botocore_client(credentials).generate_presigned_url(
        "put_object",
        Params={"Bucket": "media", "Key": KEY, "ContentType": "image/png"},
        ExpiresIn=60,
    )

    ours = Signer("eu-central-1").presign(
        credentials,
        "PUT",
        origin=ENDPOINT,
        host="s3.example.test:9000",
        path=f"/media/{KEY}",
        ttl=60,
        now=moment_of(theirs),
        content_type="image/png",
    )

    assert same_url(ours, theirs)


_BOTOCORE = botocore_client(STATIC)
_OURS = Signer("eu-central-1")


@given(disposition=st.text(st.characters(codec="utf-8"), min_size=1), ttl=st.integers(1, 604800))
def test_any_response_header_is_signed_as_botocore_does(disposition: str, ttl: int) -> None:
    theirs = _BOTOCORE.generate_presigned_url(
        "get_object",
        Params={"Bucket": "media", "Key": KEY, "ResponseContentDisposition": disposition},
        ExpiresIn=ttl,
    )

    ours = _OURS.presign(
        STATIC,
        "GET",
        origin=ENDPOINT,
        host="s3.example.test:9000",
        path=f"/media/{KEY}",
        ttl=ttl,
        now=moment_of(theirs),
        query={"response-content-disposition": disposition},
    )

    assert same_url(ours, theirs)


@pytest.mark.parametrize("credentials", [STATIC, TEMPORARY], ids=["static", "temporary"])
def test_a_policy_is_signed_as_botocore_does(credentials: Credentials) -> None:
    form = botocore_client(credentials).generate_presigned_post("media", KEY)["fields"]

    day = form["x-amz-date"][:8]
    signer = Signer("eu-central-1")

    assert signer.credential(credentials, day) == form["x-amz-credential"]
    assert signer.sign_policy(credentials, day, form["policy"]) == form["x-amz-signature"]


def test_a_form_of_temporary_credentials_carries_their_token() -> None:
    fields = signed_form(
        Signer("eu-central-1"),
        TEMPORARY,
        key="k",
        max_bytes=1,
        ttl=1,
        now=0,
        bucket="m",
    )

    assert fields["x-amz-security-token"] == TEMPORARY.token


def test_each_day_and_each_secret_has_its_own_signing_key() -> None:
    signer = Signer("eu-central-1")
    other = Credentials(STATIC.access_key, "other")

    def sign(credentials: Credentials, day: str) -> str:
        return signer.sign_policy(credentials, day, "policy")

    first = sign(STATIC, "20260101")
    assert len({first, sign(STATIC, "20260102"), sign(other, "20260102")}) == 3
    assert sign(STATIC, "20260101") == first


@pytest.mark.parametrize("ttl", [0, -1, LONGEST_TTL + 1])
def test_a_life_that_the_protocol_does_not_allow_is_refused(ttl: int) -> None:
    with pytest.raises(ValueError, match="seconds"):
        Signer("r").presign(STATIC, "GET", origin="o", host="h", path="/", ttl=ttl, now=0)


def test_a_timestamp_is_utc() -> None:
    assert timestamp(0.9) == "19700101T000000Z"


def test_secrets_do_not_show_in_a_representation() -> None:
    assert "another/secret" not in repr(TEMPORARY)
    assert "token==" not in repr(TEMPORARY)
