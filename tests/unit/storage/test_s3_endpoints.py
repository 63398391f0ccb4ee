"""Dropping the endpoints of services that nobody calls changes those of no other."""

import botocore.session
import pytest
from jan_media.storage.s3_endpoints import keep_called_services

REGIONS = ["us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1", "aws-global", "no-such-1"]


def url(session: botocore.session.Session, service: str, region: str) -> str:
    client = session.create_client(
        service, region_name=region, aws_access_key_id="id", aws_secret_access_key="secret"
    )
    return str(client.meta.endpoint_url)


@pytest.fixture(scope="module")
def whole() -> botocore.session.Session:
    return botocore.session.get_session()


@pytest.fixture(scope="module")
def reduced() -> botocore.session.Session:
    session = botocore.session.get_session()
    keep_called_services(session)
    return session


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("service", ["s3", "sts", "sso-oidc"])
def test_endpoints_stay_as_they_are(
    service: str, region: str, whole: botocore.session.Session, reduced: botocore.session.Session
) -> None:
    assert url(reduced, service, region) == url(whole, service, region)


def test_other_services_are_gone_from_what_the_session_keeps(
    reduced: botocore.session.Session,
) -> None:
    assert "s3" in reduced.get_available_services()
    endpoints = reduced.get_data("endpoints")
    for partition in endpoints["partitions"]:
        assert len(partition["services"]) <= 5
