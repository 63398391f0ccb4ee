"""Where a bucket is: the origin, Host header and path that its URLs are made of."""

import ipaddress
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """``origin`` + ``path`` is the bucket's URL, without a slash at its end."""

    origin: str
    host: str  # as a client sends it in the Host header: without a default port
    path: str


def bucket_address(endpoint: str, bucket: str, *, path_style: bool) -> BucketAddress:
    """The address of ``bucket`` at ``endpoint``: ``https://host/bucket`` in path style,
    ``https://bucket.host`` otherwise. Raises `ValueError` if the endpoint is no http(s) URL, or is
    an IP address, below which there are no names, and ``path_style`` is off."""
    parts = urlsplit(endpoint)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"not an http(s) endpoint: {endpoint!r}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if parts.port is not None and parts.port != _DEFAULT_PORTS[parts.scheme]:
        host = f"{host}:{parts.port}"
    path = parts.path.rstrip("/")
    if path_style:
        path = f"{path}/{bucket}"
    elif _is_ip_address(parts.hostname):
        raise ValueError(
            f"the endpoint {endpoint!r} is an IP address, so the bucket cannot be part of its "
            "name: set MEDIA_S3_USE_PATH_STYLE=true"
        )
    else:
        host = f"{bucket}.{host}"
    return BucketAddress(f"{parts.scheme}://{host}", host, path)


def _is_ip_address(host: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return False
