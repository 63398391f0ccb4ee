"""The URLs that are fetched: absolute, http or https, with a plain host and no credentials."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import quote, urljoin

import idna

from jan_media.errors import Refused

_MAX_LENGTH = 8192
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_HOST_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)
# Browsers and some resolvers treat a host as an IPv4 address if its last label looks like a number:
# 0x7f.1, 017700000001, 2130706433.
_NUMERIC = re.compile(r"([0-9]+|0x[0-9a-f]*)", re.ASCII)
# The parts of a URL (RFC 3986, appendix B) and of its authority.
_URL = re.compile(
    r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.IGNORECASE | re.DOTALL | re.ASCII
)
_HOST_AND_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]{0,5}))?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SENT_AS_IT_IS = "!#$%&'*+,()/:;=?@[\\]^|"  # and letters, digits, "_.-~"


@dataclass(frozen=True, slots=True)
class RemoteUrl:
    """A URL in the parts that a request needs."""

    scheme: str  # http or https
    host: str  # lower case, ASCII, without a final dot; an IPv6 address without brackets
    port: int
    target: bytes  # path and query
    text: str  # whole, as it was given

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def join(self, location: str) -> "RemoteUrl":
        """The URL that a redirect from this one leads to. Raises as `parse_url` does.

        Bytes that are not UTF-8, given as surrogates, are sent unchanged, as by browsers and curl.
        """
        try:
            joined = urljoin(self.text, location)
        except ValueError:
            why = "The server redirects to a URL that is not valid."
            raise Refused("invalid_url", why) from None
        return parse_url(joined, surrogates="surrogateescape")


def parse_url(text: str, *, surrogates: str = "strict") -> RemoteUrl:
    """Raises `Refused` with ``invalid_url``, or ``url_not_allowed`` if it carries credentials."""
    if len(text) > _MAX_LENGTH:
        raise Refused("invalid_url", f"The URL is longer than {_MAX_LENGTH} characters.")
    parts = _URL.fullmatch(text)
    if parts is None:
        raise Refused("invalid_url", "The URL must start with http:// or https://.")
    scheme, authority, path, query = parts[1].lower(), parts[2], parts[3] or "/", parts[4] or ""
    if "@" in authority:
        raise Refused("url_not_allowed", "The URL must not carry a user name or password.")
    place = _HOST_AND_PORT.fullmatch(authority)
    if place is None or _CONTROL.search(text):
        raise Refused("invalid_url", "The provided URL is not valid.")
    port = int(place[2] or _DEFAULT_PORTS[scheme])
    if not 0 < port < 65536:
        raise Refused("invalid_url", "The URL's port is not valid.")
    try:
        target = quote(_resolved(path) + query, _SENT_AS_IT_IS, errors=surrogates).encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        raise Refused("invalid_url", "The provided URL is not valid.") from None
    return RemoteUrl(scheme, normal_host(place[1]), port, target, text)


def _resolved(path: str) -> str:
    """The path without dot segments (RFC 3986, section 5.2.4)."""
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segment in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def normal_host(host: str) -> str:
    """A host name or address in the canonical form that policies compare.

    Raises `Refused` with ``invalid_url`` for what is neither, for IPv4 in any other notation than
    four decimal numbers, and for IPv6 with a scope.
    """
    host = _ascii(host.lower()).lower()
    if ":" in host:
        return _address(host.removeprefix("[").removesuffix("]"))
    host = host.removesuffix(".")
    if _NUMERIC.fullmatch(host.rpartition(".")[2]):
        return _address(host)
    if len(host) > 253 or not _HOST_NAME.fullmatch(host):
        raise Refused("invalid_url", "The URL's host is not valid.")
    return host


def _ascii(host: str) -> str:
    """An international name as browsers look it up: UTS 46, and each label in Punycode.

    A name that becomes ASCII this way, such as full-width digits, is checked like any other host.
    """
    if host.isascii():
        return host
    try:
        mapped = idna.uts46_remap(host, std3_rules=False, transitional=False)
        return ".".join(map(_label, mapped.split(".")))
    except UnicodeError:
        raise Refused("invalid_url", "The URL's host is not valid.") from None


def _label(label: str) -> str:
    return label if label.isascii() else f"xn--{label.encode('punycode').decode()}"


def _address(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        raise Refused("invalid_url", "The URL's host is not a valid IP address.") from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise Refused("invalid_url", "The URL's host is an IPv6 address with a scope.")
    return str(address)
