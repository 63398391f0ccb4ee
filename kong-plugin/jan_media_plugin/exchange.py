"""One request in Kong: what the plugin reads of it, and how the plugin changes it.

Each call of Kong's PDK costs its worker some 50 µs, so there are few. The Lua plugin jan-media-gate
has gathered the headers and a small body before we run, and has provided functions that carry out
our decision: see kong/plugins/jan-media-gate/handler.lua.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from jan_media.log import About, about

from jan_media_plugin.answers import misconfigured
from jan_media_plugin.headers import Changes, Headers
from jan_media_plugin.metrics import BODY_BYTES

# Kong's time for an answer grows with the square of its size, plus some 100 µs: long texts are sent
# fastest in pieces of some 32 KiB, and many short ones together in the last call.
PIECE_BYTES = 32 * 1024
LAST_CALL_BYTES = 256 * 1024

Identity = tuple[dict[str, str], dict[str, str]]
"""A consumer and a credential, for ``kong.client.authenticate``."""


class Edit(NamedTuple):
    """Replace ``body[start:end]`` of the original body; ``start == end`` inserts."""

    start: int
    end: int
    replacement: bytes


def edited(body: bytes, edits: Sequence[Edit]) -> bytes:
    """Return ``body`` with ``edits`` (in rising order) made."""
    pieces, kept = [], 0
    for edit in edits:
        pieces += [body[kept : edit.start], edit.replacement]
        kept = edit.end
    return b"".join([*pieces, body[kept:]])


class Exchange:
    """A request on its way through the plugin."""

    def __init__(self, kong: Any, gathered: object) -> None:
        """``gathered`` is what the gate gathered. Raises `Refused` if that is nothing."""
        self._kong = kong
        if not isinstance(gathered, dict):
            raise misconfigured(
                "The route has the plugin jan-media without jan-media-gate, or the gate has "
                "`guards: false` there. Add jan-media-gate to the route's plugins."
            )
        headers = gathered["headers"] or {}  # an empty table of Lua arrives as a list
        self.headers: Headers = {
            name: [value] if value.__class__ is str and value else _lines(value)
            for name, value in headers.items()
        }
        self.route: str | None = gathered.get("route")
        """Kong's name of the route, if it has one."""
        self.about = About(gathered.get("request_id") or "")
        about.set(self.about)
        self.body_seconds = 0.0
        """How long Kong took to read the body, which depends on the client."""
        self._body: str | None = gathered.get("body")
        self._headers_of_body: Changes = {}
        self._new_body: list[tuple[int, int, bytes | int]] | int | None = None
        """For the gate: edits, or the number of pieces of a new body."""

    async def consumer(self) -> dict[str, Any]:
        """Return Kong's consumer, if another plugin has authenticated one; else an empty dict."""
        consumer = await self._kong.client.get_consumer()
        return consumer if isinstance(consumer, dict) else {}

    async def body(self) -> bytes:
        """Return the body as sent; empty if it cannot contain anything for us."""
        if self._body is not None:
            body = self._body.encode("utf-8", "surrogateescape")
        else:
            began = time.perf_counter()
            # Kong 3.9 fails on a body that is larger than the limit given here; 0: no limit.
            body = await self._kong.request.get_raw_body(0)
            self.body_seconds = time.perf_counter() - began
        BODY_BYTES.inc(len(body))
        return body

    async def edit(self, edits: Sequence[Edit]) -> None:
        """Send the upstream the body with ``edits``, which are in rising order."""
        left = LAST_CALL_BYTES
        new_body: list[tuple[int, int, bytes | int]] = []
        for edit in edits:
            left -= len(edit.replacement)
            is_large = left < 0
            replacement = await self._send(edit.replacement) if is_large else edit.replacement
            new_body.append((edit.start, edit.end, replacement))
        self._new_body = new_body

    async def replace(self, body: bytes, headers: Changes) -> None:
        """Send the upstream ``body`` instead, with the headers that describe it."""
        self._new_body = await self._send(body)
        self._headers_of_body = headers

    async def stored(self, ids: Sequence[str]) -> None:
        """Name, in the response to the client, the media that were stored from the body."""
        await self._kong.ctx.shared.set("jan_media_ids", ", ".join(ids))

    async def admit(
        self, changes: Changes, groups: list[str] | None, identity: Identity | None
    ) -> None:
        """Let the request pass: with these changes of headers, and for acl with these groups.

        This is the last call, and grants everything at once: if the plugin dies before or during
        it, the request is not forwarded. ``groups`` of None grants nothing. With an ``identity``,
        Kong's own plugins know the caller.
        """
        changes = {**changes, **self._headers_of_body}
        # Lua drops arguments after a nil, so false stands for a missing one.
        what: list[Any] = [changes or False, False if groups is None else groups]
        if self._new_body is not None or identity is not None:
            what += (False if self._new_body is None else self._new_body, *(identity or ()))
        await self._kong.ctx.shared.jan_media_admit(*what)

    async def _send(self, text: bytes) -> int:
        """Send ``text`` in pieces before the last call; return their number."""
        starts = range(0, len(text), PIECE_BYTES)
        for start in starts:
            await self._kong.ctx.shared.jan_media_piece(text[start : start + PIECE_BYTES])
        return len(starts)


def _lines(value: object) -> list[str]:
    """Return a header's lines but those that are empty.

    Lua gives a string for one line, a list for several, and true for an empty one.
    """
    return [line for line in value if isinstance(line, str)] if isinstance(value, list) else []
