"""One request as Kong has it: what the plugin may ask of it, and what becomes of it.

Each call on ``kong`` costs Kong's worker some 50 µs, so calls are what a request costs. `ByCalls`
needs nothing on the route, and makes three to six. `InLua` leaves the asking and the doing to
in_kong.lua, which is on the route, and makes two, with one more for a long body that may hold ids;
and it awaits no answer to the last.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from jan_media_plugin.answers import misconfigured, too_large
from jan_media_plugin.headers import MOST_LINES, Changes, Headers
from jan_media_plugin.rewrite.edits import Edit, apply_edits, for_lua

GROUPS = "authenticated_groups"
"""Where in ``kong.ctx.shared`` acl looks for the groups that it admits."""
GATHERED = "jan_media_gathered"
"""Where in_kong.lua leaves what it has gathered."""

# Kong takes the time of the square of an answer's size: about ten milliseconds for this one, in
# which its worker serves nobody else.
LARGEST_ANSWER = 1024 * 1024


Identity = tuple[dict[str, str], dict[str, str]]
"""A consumer and a credential, for ``kong.client.authenticate``."""


class Exchange(Protocol):
    """A request on its way through the plugin."""

    headers: Headers

    def body(self) -> bytes:
        """The whole body; empty if it is known to hold no media id."""

    def rewrite(self, body: bytes, edits: Sequence[Edit]) -> None:
        """Have the upstream get ``body`` with ``edits`` made. Raises `Refused` if it is too much"""

    def admit(self, changes: Changes, groups: list[str] | None, identity: Identity | None) -> None:
        """Let the request pass: with these changes of headers, and for acl with these groups.

        This is the last call, with all that a request is granted: should the plugin die before
        it, or in the middle of it, acl refuses the request. None grants nothing. With an
        ``identity`` Kong's own plugins know the caller.
        """


class ByCalls:
    """Asks Kong, and tells it, by one call for each thing."""

    def __init__(self, kong: Any) -> None:
        self._kong = kong
        self.headers: Headers = kong.request.get_headers(MOST_LINES)

    def body(self) -> bytes:
        # Kong 3.9 fails on a body that is larger than the limit given here: 0 is none.
        body: bytes = self._kong.request.get_raw_body(0)
        return body

    def rewrite(self, body: bytes, edits: Sequence[Edit]) -> None:
        replaced = sum(edit.end - edit.start for edit in edits)
        if len(body) - replaced + _inserted(edits) > LARGEST_ANSWER:
            raise too_large(
                f"A body with media ids may have up to {LARGEST_ANSWER} bytes on this route. For "
                "larger ones the gateway's operator sets `lua: true` for jan-media, and adds the "
                "pre-function of kong.yml."
            )
        self._kong.service.request.set_raw_body(apply_edits(body, edits))

    def admit(self, changes: Changes, groups: list[str] | None, identity: Identity | None) -> None:
        if identity is not None:
            self._kong.client.authenticate(*identity)
        if changes:
            self._kong.service.request.set_headers(changes)
        if groups is not None:
            self._kong.ctx.shared.set(GROUPS, groups)


class InLua:
    """Takes what in_kong.lua has gathered, and leaves to it what is to be done."""

    def __init__(self, kong: Any) -> None:
        self._kong = kong
        gathered = kong.ctx.shared.get(GATHERED)
        if not isinstance(gathered, dict):
            raise misconfigured(
                "jan-media has `lua: true`, but the route has no pre-function, or one of another "
                "version: copy that of kong.yml."
            )
        headers = gathered["headers"] or {}  # in Lua an empty table is a sequence, too
        self.headers = {
            name: [value] if value.__class__ is str and value else _lines(value)
            for name, value in headers.items()
        }
        self._body: str | None = gathered.get("body")
        self._edits: list[list[int | str]] | None = None

    def body(self) -> bytes:
        if self._body is None:
            body: bytes = self._kong.request.get_raw_body(0)
            return body
        return self._body.encode("utf-8", "surrogateescape")

    def rewrite(self, body: bytes, edits: Sequence[Edit]) -> None:
        inserted = _inserted(edits)
        if inserted > LARGEST_ANSWER:
            raise too_large(
                f"What stands for the media ids has {inserted} bytes in all. The most is "
                f"{LARGEST_ANSWER}: send fewer or smaller media, or have them sent as URLs."
            )
        self._edits = for_lua(edits)

    def admit(self, changes: Changes, groups: list[str] | None, identity: Identity | None) -> None:
        # Lua counts no arguments behind a nil: false stands for what is not there.
        what: list[Any] = [changes or False, False if groups is None else groups]
        if self._edits is not None or identity is not None:
            what += (self._edits or False, *(identity or ()))
        self._kong.ctx.shared.jan_media_finish(*what)


def _inserted(edits: Sequence[Edit]) -> int:
    return sum(len(edit.replacement) for edit in edits)


def _lines(value: object) -> list[str]:
    """Return what Lua has for a header but one line, as ``get_headers`` sends it: without what is
    empty. Lua has a sequence for several lines, and true for an empty one.
    """
    return [line for line in value if isinstance(line, str)] if isinstance(value, list) else []
