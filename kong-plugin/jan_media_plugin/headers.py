"""A request's headers: reading them, and what of them reaches the upstream.

Header values are text with surrogate escapes for bytes that are not UTF-8.
"""

import functools
import re
from urllib.parse import quote

from jan_media_plugin.answers import Refused, invalid_request, too_large
from jan_media_plugin.auth.caller import KEY_HEADERS, Caller
from jan_media_plugin.config import Config

Headers = dict[str, list[str]]
"""By lower-case name, the values of each line; an empty value is not in the list."""
Changes = dict[str, str | list[str]]
"""For ``set_headers``: the value that a header gets, or `REMOVED`."""

MOST_LINES = 1000
# Kong hands an empty list on to nginx's set_header, which then removes the header, every line of
# it. So one call sets and removes.
REMOVED: list[str] = []
SECRET_HEADER = "X-Jan-Gateway-Secret"  # noqa: S105
_CREDENTIAL_HEADERS = ("authorization", *KEY_HEADERS, "proxy-authorization")
# What Kong and its plugins call a caller: upstreams may go by these names too. Without auth of our
# own they are those of the plugin that authenticated in our place.
_IDENTITY_OF_KONG = ("x-consumer-*", "x-credential-*", "x-authenticated-*", "x-anonymous-*")
_OURS = "x-jan-*"
# What Connection may name (RFC 9110, section 7.6.1). Kong, after its plugins, removes every other
# header that a client names there: the identity that we have set, too.
_CONNECTION_OPTIONS = frozenset(
    ("", "close", "keep-alive", "upgrade", "te", "trailer", "http2-settings", "proxy-connection")
)
# Upstreams that turn names into variables (CGI, WSGI, PHP) make one of all these.
_ANY_DASH = r"[-_. !#$%&'*+^`|~]"
# Of printable ASCII, all but the separator and the escape itself.
_PLAIN_IN_GROUP = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",%")


def check_size(headers: Headers, most: int) -> None:
    """Refuse more header lines than Kong is sure to show, or more than ``most`` bytes of them.

    Bytes are counted as HTTP/1.1 writes the lines.
    """
    lines = [f"{name}: {one}\r\n" for name, values in headers.items() for one in values or [""]]
    size = len("".join(lines).encode("utf-8", "surrogateescape"))
    if len(lines) >= MOST_LINES:
        # There may be lines that nobody has looked at.
        raise Refused(431, "too_many_headers", f"Send fewer than {MOST_LINES} header lines.")
    if size > most:
        says = f"The headers have {size} bytes. The most that is accepted is {most}."
        raise Refused(431, "headers_too_large", says)


def check_connection(headers: Headers) -> None:
    """Refuse a Connection header that would have Kong take other headers away."""
    for value in headers.get("connection", ()):
        for option in value.split(","):
            if option.strip().lower() not in _CONNECTION_OPTIONS:
                raise invalid_request(
                    "invalid_connection_header",
                    "The Connection header may not name other headers: send keep-alive or close.",
                    "Connection",
                )


def check_length(headers: Headers, most: int) -> int | None:
    """Return Content-Length, None if there is none; refuse more than ``most`` bytes."""
    values = headers.get("content-length")
    if not values or not values[0].isdecimal():
        return None
    length = int(values[0].lstrip("0")[:19] or "0")  # nginx takes any number of zeros before it
    if length > most:
        raise too_large(f"The body has {length} bytes. The most that is accepted is {most}.")
    return length


def is_form(headers: Headers) -> bool:
    """Whether the body is called a form with files in parts, in which no id stands for a URL."""
    values = headers.get("content-type", ())
    return bool(values) and all(
        value.strip().lower().startswith("multipart/form-data") for value in values
    )


class UpstreamHeaders:
    """What the upstream gets to see of who is calling, for one configuration."""

    def __init__(self, config: Config) -> None:
        self._user = config.user_header
        self._issuer = config.issuer_header
        self._groups = config.groups_header
        tells = config.identity_headers
        self._tells = config.upstream_authorization is None if tells is None else tells
        self._always: Changes = {}
        if config.send_gateway_secret and config.gateway_secret:
            self._always[SECRET_HEADER] = config.gateway_secret
        if config.upstream_authorization:
            self._always["Authorization"] = config.upstream_authorization
        names = [self._user, self._issuer, self._groups, _OURS, *config.hide_headers]
        if config.hide_credentials:
            names += _CREDENTIAL_HEADERS
        if config.auth not in ("off", "consumer"):
            names += _IDENTITY_OF_KONG
        self._longest = max(map(len, names))
        pattern = "|".join(names).replace("*", ".*").replace("-", _ANY_DASH)
        ours = re.compile(pattern, re.IGNORECASE | re.DOTALL)
        # Clients send the same names again and again, and can invent long ones without end.
        self._is_ours = functools.lru_cache(maxsize=1024)(ours.fullmatch)

    def changes(self, headers: Headers, caller: Caller | None) -> Changes:
        """Return what to set, and to remove: names that are ours in any confusable spelling."""
        changes = dict(self._always)
        if caller is not None and self._tells:
            changes[self._user] = caller.subject
            changes[self._issuer] = caller.issuer
            changes[self._groups] = ",".join(map(_spelled_group, caller.groups))
        names_set = {name.lower() for name in changes}
        for name in headers:
            # Setting a header replaces every line of that name. A removal beside it would be made
            # before it or after it, in no order.
            if self._is_ours(name[: self._longest + 1]) and name.lower() not in names_set:
                changes[name] = REMOVED
        return changes


def _spelled_group(group: str) -> str:
    return group if group.isalnum() and group.isascii() else quote(group, safe=_PLAIN_IN_GROUP)
