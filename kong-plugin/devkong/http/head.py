"""Parsing the head of a request or a response, byte for byte (RFC 9112).

httptools is not used here: it refuses bytes above 0x7f in a request target and methods that it
does not know, and nginx passes both on.
"""

import re
from typing import NamedTuple

from devkong.http.headers import Headers

_FIRST_BUFFER = 1024  # client_header_buffer_size: most heads need no other
_LONGEST_RESPONSE_LINE = 8 * 1024
_METHOD = re.compile(rb"[A-Z_-]+\Z")
_TARGET = re.compile(rb"[^\x00-\x20\x7f]+\Z")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_BAD_VALUE = re.compile(rb"[\x00\r\n]")
_DIGITS = re.compile(rb"0*[0-9]{1,18}\Z")


class BadMessage(Exception):
    """The peer sent something that is not HTTP. status: what a client is answered."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class HeadLimits(NamedTuple):
    """nginx's large_client_header_buffers: how many, and how many bytes each."""

    buffers: int = 4
    size: int = 8 * 1024

    @property
    def whole(self) -> int:
        """More bytes than this are never a head."""
        return _FIRST_BUFFER + self.buffers * self.size

    def check(self, lines: list[bytes]) -> None:
        """Put a head's lines, the empty one too, into buffers as nginx does: whole ones only.

        Raises BadMessage.
        """
        used, left = 0, _FIRST_BUFFER
        for number, line in enumerate(lines):
            length = len(line) + len(b"\r\n")
            if length > left:
                if length > self.size:
                    raise BadMessage(494 if number else 414, "a line is too long")
                used, left = used + 1, self.size
                if used > self.buffers:
                    raise BadMessage(494, "the head is too long")
            left -= length


AS_NGINX_COMES = HeadLimits()


class RequestHead(NamedTuple):
    """The request line and the header lines."""

    method: bytes
    target: bytes
    minor_version: int
    headers: Headers


class ResponseHead(NamedTuple):
    """The status line and the header lines."""

    minor_version: int
    status: int
    reason: bytes
    headers: Headers


def parse_request_head(head: bytes, limits: HeadLimits = AS_NGINX_COMES) -> RequestHead:
    """Parse everything before the empty line. Raises BadMessage, as nginx would refuse it."""
    first, *lines = head.split(b"\r\n")
    words = first.split(b" ")
    if len(words) != 3 or not _METHOD.match(words[0]) or not words[2].startswith(b"HTTP/1."):
        raise BadMessage(400, "bad request line")
    method, target, version = words
    limits.check([first, *lines, b""])
    if not _TARGET.match(target):
        raise BadMessage(400, "bad request target")
    minor = 0 if version == b"HTTP/1.0" else 1
    headers = _parse_lines(lines)
    hosts = headers.get_all(b"host")
    if len(hosts) > 1 or (minor == 1 and not hosts):
        raise BadMessage(400, "exactly one Host header is needed")
    return RequestHead(method, target, minor, headers)


def parse_response_head(head: bytes) -> ResponseHead:
    """Parse everything before the empty line. Raises BadMessage with status 502."""
    first, *lines = head.split(b"\r\n")
    version, _, rest = first.partition(b" ")
    code, _, reason = rest.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not (len(code) == 3 and code.isdigit()):
        raise BadMessage(502, "bad status line")
    if any(len(line) > _LONGEST_RESPONSE_LINE for line in lines):
        raise BadMessage(502, "header line too long")
    try:
        headers = _parse_lines(lines)
    except BadMessage as error:
        raise BadMessage(502, str(error)) from error
    return ResponseHead(0 if version == b"HTTP/1.0" else 1, int(code), reason, headers)


def content_length(headers: Headers) -> int | None:
    """Return Content-Length, None if there is none. Raises BadMessage if it is no number."""
    values = headers.get_all(b"content-length")
    if not values:
        return None
    if len(values) > 1 or not _DIGITS.match(values[0]):
        raise BadMessage(400, "bad Content-Length")
    return int(values[0].lstrip(b"0") or b"0")  # Python counts zeros as digits of a long number


def is_chunked(headers: Headers) -> bool:
    """Say whether the body comes in chunks. Raises BadMessage for any other transfer coding."""
    values = headers.get_all(b"transfer-encoding")
    if not values:
        return False
    if len(values) > 1 or values[0].lower() != b"chunked":
        raise BadMessage(501, "unknown Transfer-Encoding")
    if headers.get(b"content-length") is not None:
        raise BadMessage(400, "both Content-Length and Transfer-Encoding")
    return True


def _parse_lines(lines: list[bytes]) -> Headers:
    parsed = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.match(name):
            raise BadMessage(400, "bad header line")
        value = value.strip(b" \t")
        if _BAD_VALUE.search(value):
            raise BadMessage(400, "bad header value")
        parsed.append((name.lower(), name, value))
    return Headers(parsed)
