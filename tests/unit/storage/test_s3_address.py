"""Where a bucket is."""

import pytest
from jan_media.storage.s3 import BucketAddress, bucket_address


@pytest.mark.parametrize(
    ("endpoint", "path_style", "origin", "host", "path"),
    [
        ("https://s3.example", True, "https://s3.example", "s3.example", "/media"),
        ("https://s3.example/", False, "https://media.s3.example", "media.s3.example", ""),
        ("http://10.0.0.1:9000", True, "http://10.0.0.1:9000", "10.0.0.1:9000", "/media"),
        ("https://s3.example:443", True, "https://s3.example", "s3.example", "/media"),
        ("http://s3.example:443", True, "http://s3.example:443", "s3.example:443", "/media"),
        ("http://[::1]:9000", True, "http://[::1]:9000", "[::1]:9000", "/media"),
        ("https://cdn.example/s3/", True, "https://cdn.example", "cdn.example", "/s3/media"),
    ],
)
def test_the_address_of_a_bucket(
    endpoint: str, path_style: bool, origin: str, host: str, path: str
) -> None:
    address = bucket_address(endpoint, "media", path_style=path_style)

    assert address == BucketAddress(origin, host, path)


@pytest.mark.parametrize("endpoint", ["", "s3.example", "ftp://s3.example", "http://"])
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        bucket_address(endpoint, "media", path_style=True)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "http://[::1]:9000"])
def test_an_ip_address_needs_path_style(endpoint: str) -> None:
    with pytest.raises(ValueError, match="MEDIA_S3_USE_PATH_STYLE=true"):
        bucket_address(endpoint, "media", path_style=False)
