"""An accepted URL leads to the host that other parsers find in it."""

import contextlib
import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx
from jan_media.errors import Refused
from jan_media.fetch.addresses import Address
from jan_media.fetch.policy import FetchPolicy, Places
from jan_media.fetch.url import RemoteUrl, parse_url

WORDS = [
    *(b"http://", b"https://", b"//", b"@", b":80", b":443", b"[::1]", b"[::ffff:", b"127.0.0.1"),
    *(
        b"0x7f",
        b"0177",
        b"localhost",
        b"\\",
        b"%2e",
        b"%40",
        b"#",
        b"?",
        b"..",
        b"xn--",
        b"\xe3\x80\x82",
    ),
    *(
        b"\xef\xbc\x91",
        b"\xc2\xad",
        b"\xc5\xbf",
        b"\xe2\x84\xaa",
        b"\xc3\x9f",
        b"example.com",
        b"/",
    ),
]
_POLICY = FetchPolicy(Places(""), Places(""))


def taken(text: str) -> RemoteUrl | None:
    """The URL, or None if it is refused."""
    try:
        return parse_url(text)
    except Refused:
        return None


def assert_leads_where_it_says(url: RemoteUrl) -> None:
    assert url.scheme in ("http", "https")
    assert 0 < url.port < 65536
    assert url.host == url.host.lower()
    assert url.host.isascii()
    assert not set(url.host) & set("/\\@?#%[] \r\n\t\0")
    assert url.target.startswith(b"/")
    assert not set(b" \r\n\t\0#") & set(url.target)
    assert_the_same_to_the_standard_library(url)
    assert_the_same_to_httpx(url)
    assert_the_same_to_the_resolver(url)


def assert_the_same_to_the_standard_library(url: RemoteUrl) -> None:
    """What is sent, read again by another parser, goes to the same place."""
    again = urlsplit(f"{url.scheme}://{url.authority}{url.target.decode()}")
    assert (again.scheme, again.hostname, again.username) == (url.scheme, url.host, None)
    assert (again.port or {"http": 80, "https": 443}[url.scheme]) == url.port


def assert_the_same_to_httpx(url: RemoteUrl) -> None:
    """What was given, if another parser takes it, goes to the same place there."""
    try:
        other = httpx.URL(url.text)
    except httpx.InvalidURL:
        return
    host = other.raw_host.decode().removesuffix(".")
    assert (other.scheme, other.userinfo) == (url.scheme, b"")
    assert (_address(host) or host) == (_address(url.host) or url.host)
    assert (other.port or {"http": 80, "https": 443}[url.scheme]) == url.port


def assert_the_same_to_the_resolver(url: RemoteUrl) -> None:
    """A host that the C library takes for a number is the address that we take it for."""
    try:
        found = socket.getaddrinfo(url.host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        found = []
    expected = {_address(url.host)} - {None}
    assert {ip_address(one[4][0]) for one in found} == expected


def _address(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def assert_allowed_only_if_public(url: RemoteUrl) -> None:
    try:
        address = ip_address(url.host)
        _POLICY.check_address(url.host, url.port, address)
    except (ValueError, Refused):
        return
    assert address.is_global
    assert url.port in (80, 443)


def check(data: bytes) -> None:
    text, _, location = data.decode("utf-8", "replace").partition("\n")
    for candidate in (text, f"http://{text}", f"https://example.com/{text}"):
        url = taken(candidate)
        if url is None:
            continue
        assert_leads_where_it_says(url)
        assert_allowed_only_if_public(url)
        with contextlib.suppress(Refused):
            assert_leads_where_it_says(url.join(location))
