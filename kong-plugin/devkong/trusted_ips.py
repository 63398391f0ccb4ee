"""Whose X-Forwarded-* headers are believed: KONG_TRUSTED_IPS."""

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=4096)
def is_trusted(trusted: tuple[str, ...], ip: str) -> bool:
    """Say whether an address is in the list of addresses and CIDRs; "unix:" is an entry too."""
    if not trusted:
        return False
    if ip == "unix:":
        return ip in trusted
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    return any(
        address in ipaddress.ip_network(entry, strict=False)
        for entry in trusted
        if entry != "unix:"
    )
