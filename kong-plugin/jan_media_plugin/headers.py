"""A request's headers: reads them, and decides which of them reach the upstream.

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
# For an empty list, nginx's set_header removes all lines of the header. So one call both sets and
# removes headers.
REMOVED: list[str] = []
SECRET_HEADER = "X-Jan-Gateway-Secret"  # noqa: S105
_CREDENTIAL_HEADERS = ("authorization", *KEY_HEADERS, "proxy-authorization")
# Headers in which Kong and its plugins name a caller, and which upstreams may trust. Without auth
# of our own, they come from the plugin that authenticated instead.
_IDENTITY_OF_KONG = ("x-consumer-*", "x-credential-*", "x-authenticated-*", "x-anonymous-*")
_OURS = "x-jan-*"
# What Connection may name (RFC 9110, section 7.6.1). After its plugins, Kong removes every other
# header that a client names there, even the identity that we have set.
_CONNECTION_OPTIONS = frozenset(
    ("", "close", "keep-alive", "upgrade", "te", "trailer", "http2-settings", "proxy-connection")
)
# Upstreams that turn header names into variables (CGI, WSGI, PHP) treat all these as equal.
_ANY_DASH = r"[-_. !#$%&'*+^`|~]"
# Printable ASCII without the separator and the escape character.
_PLAIN_IN_GROUP = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",%")


def check_size(headers: Headers, most: int) -> None:
    """Refuse more header lines than Kong shows us, or more than ``most`` bytes of them.

    Bytes are counted as HTTP/1.1 writes the lines.
    """
    lines = [f"{name}: {one}\r\n" for name, values in headers.items() for one in values or [""]]
    size = len("".join(lines).encode("utf-8", "surrogateescape"))
    if len(lines) >= MOST_LINES:
        # There may be more lines, which Kong does not show us.
        raise Refused(431, "too_many_headers", f"Send fewer than {MOST_LINES} header lines.")
    if size > most:
        says = f"The headers have {size} bytes. The most that is accepted is {most}."
        raise Refused(431, "headers_too_large", says)


def check_connection(headers: Headers) -> None:
    """Refuse a Connection header that would make Kong remove other headers."""
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
    length = int(values[0].lstrip("0")[:19] or "0")  # nginx accepts any number of leading zeros
    if length > most:
        raise too_large(f"The body has {length} bytes. The most that is accepted is {most}.")
    return length


def is_form(headers: Headers) -> bool:
    """Whether the body is declared as a multipart form, in which ids are not replaced."""
    values = headers.get("content-type", ())
    return bool(values) and all(
        value.strip().lower().startswith("multipart/form-data") for value in values
    )


class UpstreamHeaders:
    """What the upstream learns about the caller, for one configuration."""

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
        # Clients repeat the same names, but can also invent any number of long ones.
        self._is_ours = functools.lru_cache(maxsize=1024)(ours.fullmatch)

    def changes(self, headers: Headers, caller: Caller | None) -> Changes:
        """Return what to set, and what to remove: our header names, in any spelling."""
        changes = dict(self._always)
        if caller is not None and self._tells:
            changes[self._user] = caller.subject
            changes[self._issuer] = caller.issuer
            changes[self._groups] = ",".join(map(_spelled_group, caller.groups))
        names_set = {name.lower() for name in changes}
        for name in headers:
            # Setting a header replaces every line of that name. A removal of it in the same call
            # could come before or after that.
            if self._is_ours(name[: self._longest + 1]) and name.lower() not in names_set:
                changes[name] = REMOVED
        return changes


def _spelled_group(group: str) -> str:
    return group if group.isalnum() and group.isascii() else quote(group, safe=_PLAIN_IN_GROUP)
