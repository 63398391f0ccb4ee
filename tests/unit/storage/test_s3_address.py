"""Where clients find a bucket."""

import pytest
from jan_media.storage.s3 import S3Storage

from tests.support.storages import s3_settings


@pytest.mark.parametrize(
    ("endpoint", "path_style", "bucket"),
    [
        ("https://s3.example", True, "https://s3.example/media"),
        ("https://s3.example/", False, "https://media.s3.example"),
        ("http://10.0.0.1:9000", True, "http://10.0.0.1:9000/media"),
        ("http://10.0.0.1:9000", False, "http://10.0.0.1:9000/media"),  # below it are no names
        ("https://s3.example:443", True, "https://s3.example/media"),
        ("http://s3.example:443", True, "http://s3.example:443/media"),
        ("http://[::1]:9000", True, "http://[::1]:9000/media"),
        ("https://cdn.example/s3/", True, "https://cdn.example/s3/media"),
    ],
)
def test_the_address_of_a_bucket(endpoint: str, path_style: bool, bucket: str) -> None:
    storage = S3Storage(s3_settings(public_endpoint=endpoint, use_path_style=path_style))

    url = storage.presign_get("a", mime="image/png", filename="a.png", ttl=60)

    assert url.startswith(f"{bucket}/a?")
    assert storage.uploads.presign_post("a", max_bytes=1, ttl=60).url == bucket
    storage.close()


@pytest.mark.parametrize("endpoint", ["s3.example", "http://"])
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        S3Storage(s3_settings(endpoint=endpoint))
