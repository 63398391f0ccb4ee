"""Request bodies: their declared type and size, how they arrive, raw files, and small JSON."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request

from jan_media.errors import ContentTooLarge, Refused
from jan_media.library.ingest import NO_DETAILS
from jan_media.library.spool import Spool

PIECE = 256 * 1024
BEGINNING = 64 * 1024  # bytes; a connection buffers about this much in any case
STALL_SECONDS = 30
FAIR_RATE = 32 * 1024  # bytes a second: a slower sender may lose its slot to one that waits
FAIR_SECONDS = 3.0  # of waiting for a sender before it counts as slow
WINDOW = 10.0  # seconds of waiting, after which older measurements count less and less
SLOWEST = 4096  # bytes a second: the lowest average after the first half minute
SMALL_JSON = 64 * 1024
# Levels of nesting. Python's parser accepts only a little more.
MAX_DEPTH = 200


def content_type(request: Request) -> str:
    """The media type of the body, lower case, without parameters; "" if there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def refuse_content_encoding(request: Request) -> None:
    """Raises `Refused` for a body that is declared as compressed (RFC 9110, section 15.5.16)."""
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise Refused(
            "unsupported_content_encoding", "Send the body without Content-Encoding, as it is"
        )


def refuse_announced_size(
    request: Request, limit: int, *, max_bytes: int, param: str | None = None
) -> None:
    """Raises `Refused` if Content-Length is over ``limit`` bytes.

    ``max_bytes`` is the limit that the message names: the limit of the file in the body.
    """
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > limit:
        raise ContentTooLarge(max_bytes).at(param)


class Arriving:
    """A body as it arrives, and the rate of its sender. Our own processing time does not count."""

    def __init__(self, request: Request) -> None:
        self.whole = False  # all of it has arrived
        self.lost = False  # it has lost its slot to a faster sender
        self._request = request
        self._beginning: list[bytes] = []
        self._received, self._waited = 0, 0.0  # bytes, and seconds of waiting for them
        self._lately, self._seconds = 0, 0.0  # the same since `begin`, older values weighing less
        self._since = 0.0
        self._waiting: asyncio.Timeout | None = None

    async def begin(self) -> None:
        """Read to the end of the body, or until `BEGINNING` bytes have come.

        So a sender takes no slot before it has sent something, and a small body never waits behind
        slow ones.
        """
        while not self.whole and self._received < BEGINNING:
            self._beginning.append(await self._read())
        self._lately, self._seconds = 0, 0.0

    async def reads(self) -> AsyncIterator[bytes]:
        """Yield what comes from the network. After a break, another call continues there.

        Raises `Refused` (``request_timeout``) if the body stalls, is so slow that it would take
        hours, or has lost its slot to a faster sender.
        """
        while not self.whole or self._beginning:
            chunk = self._beginning.pop(0) if self._beginning else await self._read()
            if chunk:
                yield chunk

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body in pieces of at least `PIECE` bytes; only the last may be smaller.

        Each piece costs a hop to a thread, so small network reads are joined: a body that fits
        into one piece costs one hop. Holds at most one piece and one network read.
        """
        parts: list[bytes] = []
        size = 0
        async for chunk in self.reads():
            parts.append(chunk)
            size += len(chunk)
            if size >= PIECE:
                yield b"".join(parts)
                parts, size = [], 0
        if size:
            yield b"".join(parts)

    async def _read(self) -> bytes:
        left = STALL_SECONDS + self._received / SLOWEST - self._waited
        most = 0 if self.lost else min(left, STALL_SECONDS)
        self._since = time.monotonic()
        try:
            async with asyncio.timeout(most) as self._waiting:
                message = await self._request.receive()
        except TimeoutError:
            raise Refused("request_timeout", self._why_timed_out(left)) from None
        finally:
            self._waiting = None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self.whole = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        self._count(len(chunk), time.monotonic() - self._since)
        return chunk

    def _count(self, received: int, waited: float) -> None:
        self._received += received
        self._waited += waited
        self._lately += received
        self._seconds += waited
        if self._seconds > WINDOW:
            self._seconds /= 2
            self._lately //= 2

    def slowness(self) -> float:
        """Seconds per byte if the sender is slow at the moment; 0.0 if it is not."""
        if self._waiting is None or self.lost:
            return 0.0
        seconds = self._seconds + time.monotonic() - self._since
        if seconds < FAIR_SECONDS or self._lately >= seconds * FAIR_RATE:
            return 0.0
        return seconds / (self._lately + 1)

    def lose(self) -> None:
        """Take the slot away from the sender."""
        self.lost = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    def _why_timed_out(self, left: float) -> str:
        if self.lost:
            return "The body comes too slowly while others wait: send it again later, or faster"
        if left >= STALL_SECONDS:
            return f"Nothing of the body came for {STALL_SECONDS} seconds"
        return f"The body came at less than {SLOWEST} bytes a second"


class RawBody:
    """One way to send a file: the body is the file. The other ways derive from this class."""

    param: str | None = None  # the place of the file in the request
    growth, beside = 1.0, 0  # bytes of body allowed for each byte of the file, and in addition
    url = ""  # where to fetch the file from once the body has ended, "" if it is in the body
    details = NO_DETAILS  # what the body says about the file, once it has ended

    def __init__(self, request: Request, spool: Spool) -> None:
        """Raises `Refused` if Content-Length is too large."""
        max_bytes = spool.max_bytes
        limit = int(max_bytes * self.growth) + self.beside
        refuse_announced_size(request, limit, max_bytes=max_bytes, param=self.param)
        self.request, self.spool = request, spool
        self.arriving = Arriving(request)

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the body and spool the file's bytes among them. Blocking."""
        self.spool.write(piece)

    def close(self) -> dict[str, Any]:
        """Finish after the last piece; returns the other fields. Raises `Refused`. Blocking."""
        return {}


async def read_json(
    request: Request, *, max_bytes: int, max_values: int | None = None
) -> dict[str, Any]:
    """Read a JSON object of at most ``max_bytes`` bytes and about ``max_values`` values.

    Raises `Refused` for anything else.
    """
    refuse_content_encoding(request)
    kind = content_type(request)
    if kind not in ("", "application/json") and not kind.endswith("+json"):
        raise Refused("unsupported_media_type", "Send the body as application/json")
    body = await read_body(request, max_bytes=max_bytes)
    # A container of n values has one opening bracket and n - 1 commas, so their sum is the number
    # of values. Commas and brackets inside strings count too.
    if max_values is not None and sum(map(body.count, b",[{")) > max_values:
        raise Refused("invalid_json", f"The body may have at most {max_values} values")
    return parse_object(body)


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """The whole body. Raises `Refused` once it has more than ``max_bytes``."""
    refuse_announced_size(request, max_bytes, max_bytes=max_bytes)
    body = bytearray()
    async for chunk in Arriving(request).reads():
        body += chunk
        if len(body) > max_bytes:
            raise ContentTooLarge(max_bytes)
    return bytes(body)


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object strictly. Raises `Refused` (``invalid_json``)."""
    try:
        value = json.loads(body, parse_constant=_not_json)
    except RecursionError:
        raise too_deep() from None
    except ValueError:
        # For a body that is cut off too deep, Python 3.11 raises RecursionError, later ones this.
        opened, closed = (sum(map(body.count, brackets)) for brackets in (b"[{", b"]}"))
        if opened - closed > MAX_DEPTH:
            raise too_deep() from None
        raise Refused("invalid_json", "The body is not valid JSON") from None
    if not isinstance(value, dict):
        raise Refused("invalid_json", "The body must be a JSON object")
    return value


def too_deep() -> Refused:
    """The refusal of JSON that is nested more than `MAX_DEPTH` levels deep."""
    return Refused("invalid_json", f"The JSON may be nested at most {MAX_DEPTH} levels deep")


def text_field(body: dict[str, Any], name: str, *, at: str | None = None) -> str:
    """A required string that is not empty. Raises `Refused` with the field's name."""
    where = at or name
    value = body.get(name)
    if value is None:
        raise Refused("missing_field", f"{where} is required", where)
    if not isinstance(value, str) or not value:
        raise Refused("invalid_field", f"{where} must be a string that is not empty", where)
    return value


def number_between(least: int, most: int, text: str, *, at: str, unit: str = "") -> int:
    """Parse a decimal number within bounds. Raises `Refused` with the field's name."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
    if not least <= number <= most:
        raise Refused("invalid_field", f"{at} must be between {least} and {most}{unit}", at)
    return number


def _not_json(name: str) -> NoReturn:
    raise ValueError(name)
