"""An address is public only if the standard library agrees and it does not hide another address."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

from jan_media.fetch.addresses import Address, is_public, parse_address

WORDS = [
    b"\xff\xff",
    b"\0\x64\xff\x9b",
    b"\x7f\0\0\1",
    b"\xa9\xfe\xa9\xfe",
    b"\x20\x01\x0d\xb8",
    b"\xc6\x12",
    b"\x64\x40",
    b"\xc0\0\2",
]


def assert_global_if_public(address: Address) -> None:
    inner = inside_of(address)
    if is_public(address):
        assert inner.is_global
        assert isinstance(inner, IPv4Address) or inner.packed[0] >> 5 == 1  # global unicast


def inside_of(address: Address) -> Address:
    """The IPv4 address that packets to an IPv6 address end up at, or the address itself."""
    if isinstance(address, IPv6Address):
        if address.packed[:12] == b"\0" * 10 + b"\xff\xff":
            return IPv4Address(address.packed[12:])
        if address.packed[:12] == b"\0\x64\xff\x9b" + b"\0" * 8:
            return IPv4Address(address.packed[12:])
    return address


def assert_as_public_in_other_clothes(inner: IPv4Address) -> None:
    mapped = IPv6Address(f"::ffff:{inner}")
    translated = IPv6Address(f"64:ff9b::{inner}")
    assert is_public(mapped) == is_public(translated) == is_public(inner)
    assert parse_address(str(mapped)) == inner


def assert_read_as_the_system_does(text: str) -> None:
    """A resolver's answer is the address that a socket would connect to."""
    try:
        address = parse_address(text)
    except ValueError:
        return
    family = socket.AF_INET if isinstance(ip_address(text), IPv4Address) else socket.AF_INET6
    packed = socket.inet_pton(family, text.partition("%")[0])
    assert inside_of(address).packed == inside_of(ip_address(packed)).packed


def check(data: bytes) -> None:
    assert_read_as_the_system_does(data.decode("latin-1"))
    address = ip_address(data[:16].ljust(16, b"\0"))
    assert_global_if_public(address)
    assert_read_as_the_system_does(str(address))
    assert_as_public_in_other_clothes(IPv4Address(data[:4].ljust(4, b"\0")))
