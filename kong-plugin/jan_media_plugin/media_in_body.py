"""Media in a request's body, from reading the body to giving it back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import pybase64

from jan_media_plugin.answers import Refused, Unavailable, invalid_request, too_large
from jan_media_plugin.auth.caller import Caller
from jan_media_plugin.config import Config
from jan_media_plugin.exchange import Edit, Exchange
from jan_media_plugin.fit import Fit
from jan_media_plugin.headers import REMOVED, Changes, is_form
from jan_media_plugin.inline import InlineMedia
from jan_media_plugin.resolve.media import Answer, Found, MediaLookup, NoMedia
from jan_media_plugin.resolve.sidecar import Sidecar, SidecarRefuses
from jan_media_plugin.rewrite.candidates import (
    Kind,
    candidates,
    inline_media,
    may_hold_id,
)
from jan_media_plugin.rewrite.encodings import codings_of, decoded, in_utf8
from jan_media_plugin.rewrite.forms import (
    Medium,
    edited,
    edits_for,
    in_order,
    needs_bytes,
)
from jan_media_plugin.rewrite.members import Objects
from jan_media_plugin.rewrite.parsed import NotJson, Standing, at_places
from jan_media_plugin.rewrite.places import Places

_NOW_JSON: Changes = {"Content-Encoding": REMOVED, "Content-Type": "application/json"}
_MOST_EDITS = 1000  # each may be a call of Kong; beyond, all of the body in few calls is cheaper


class MediaInBody:
    """Puts URLs, or bytes, in the place of names of media, for one configuration."""

    def __init__(self, config: Config, sidecar: Sidecar, lookup: MediaLookup) -> None:
        self._config = config
        self._sidecar = sidecar
        self._lookup = lookup
        self._limits = None if config.fit is None else config.fit.limits()
        self._stores = config.inline == "store"
        self._places = Places(config.places, config.never_below)

    async def resolve(self, exchange: Exchange, caller: Caller | None) -> None:
        """Rewrite the body if it names media, and leave it alone otherwise.

        Raises `Refused`. Then nothing has been changed.
        """
        sent = await exchange.body()
        if not sent:
            return
        most = self._config.max_body_bytes
        if len(sent) > most:
            raise too_large(
                f"The body has {len(sent)} bytes. The most that is accepted is {most}. Upload "
                "large media once and send their ids."
            )
        codings = codings_of(exchange.headers)
        body = in_utf8(decoded(sent, codings, most) if codings else sent)
        if is_form(exchange.headers) and not body.lstrip().startswith((b"{", b"[")):
            return  # it is one; some clients say so of JSON, and model servers read it
        standing = self._standing(body, caller is not None)
        if not standing:
            return
        fit = None if self._limits is None else self._limits.for_images(len(standing))
        request = _Replacing(self._config, self._sidecar, self._lookup, fit, body)
        stored: dict[int, str] = {}
        if self._stores and caller is not None:
            inline = InlineMedia(self._config, self._sidecar, caller, body)
            stored = await inline.stored(standing, request.answers)
        edits = await request.edits(standing, stored)
        if not edits:
            return
        ordered = in_order(edits)
        recoded = codings or body is not sent
        if recoded or len(ordered) > _MOST_EDITS:
            await exchange.replace(edited(body, ordered), _NOW_JSON if recoded else {})
        else:
            await exchange.edit(ordered)
        if stored:
            await exchange.stored(list(dict.fromkeys(stored.values())))

    def _standing(self, body: bytes, may_store: bool) -> list[Standing]:
        """Return what names media in ``body``, at places of media."""
        least = self._config.inline_min_bytes
        named = []
        try:
            inline = inline_media(body, least) if self._stores and may_store else []
            named = candidates(body, inline)
            if not named and not inline and not may_hold_id(body):
                return []
            found = sorted([*named, *inline], key=attrgetter("start"))
            standing = at_places(body, found, self._places)
        except NotJson:
            if not may_hold_id(body) and all(one.kind is Kind.LOOK_ALIKE for one in named):
                return []
            raise invalid_request(
                "invalid_json",
                "The body holds a media id and is not JSON, so the id cannot be resolved. Send "
                "JSON with Content-Type: application/json.",
            ) from None
        return [
            one
            for one in standing
            if one.candidate.kind is not Kind.INLINE
            or one.way.keys[-1] in ("data", "file_data")
            or body.startswith(b"data:", one.candidate.start)
        ]


@dataclass
class _Replacing:
    """One request: what its names stand for, and the edits that say so."""

    config: Config
    sidecar: Sidecar
    lookup: MediaLookup
    fit: Fit | None
    body: bytes
    contents: dict[str, bytes] = field(default_factory=dict)
    """By id, the base64 of what was fetched."""
    put_in: int = 0
    """Bytes of base64 that the body has more by now."""
    answered: dict[str, Answer] = field(default_factory=dict)
    """What names stand for, so that nothing is looked up twice in one request."""

    async def edits(self, standing: Sequence[Standing], stored: Mapping[int, str]) -> list[Edit]:
        """Return all edits, in no order; ``stored`` are the ids of inline media by their start.

        Raises `Refused`.
        """
        names = []
        for one in standing:
            if one.candidate.kind is Kind.LOOK_ALIKE and self.config.unresolved == "reject":
                raise _no_media(one.candidate.name, None, one)
            if one.candidate.kind in (Kind.ID, Kind.URL):
                names.append(one.candidate.name)
        if len(set(names)) > self.config.max_ids:
            raise invalid_request(
                "too_many_ids",
                f"The request has {len(set(names))} media ids. "
                f"The most that is accepted is {self.config.max_ids}.",
            )
        answers = await self.answers([*names, *stored.values()])
        edits: list[Edit] = []
        objects = Objects(self.body)
        for one in standing:
            name = stored.get(one.candidate.start, one.candidate.name)
            answer = answers.get(name)
            if isinstance(answer, Found):
                medium = await self._medium(answer, one)
                edits += edits_for(objects, one, medium)
            elif isinstance(answer, NoMedia):
                self._refuse(name, answer, one)
        return edits

    async def answers(self, names: Sequence[str]) -> dict[str, Answer]:
        """Return what each name stands for. Raises `Refused`."""
        new = [name for name in dict.fromkeys(names) if name not in self.answered]
        answers = self.lookup.remembered(new, self.fit)
        missing = [name for name in new if name not in answers]
        if missing:
            answers |= await self.lookup.resolve(missing, self.fit)
        # What is not there may be stored by this very request, and has to be asked for again.
        self.answered |= {n: one for n, one in answers.items() if not isinstance(one, NoMedia)}
        return {**self.answered, **answers}

    def _refuse(self, name: str, why: NoMedia, one: Standing) -> None:
        if why.code == "rendition_pending":
            raise Unavailable(why.message or "A picture is still being converted. Try again.")
        if self.config.unresolved == "reject":
            raise _no_media(name, why, one)

    async def _medium(self, found: Found, one: Standing) -> Medium:
        """Return what goes on in the place of a name, with the bytes where they are needed."""
        wants_bytes = self.config.resolve_as == "data_url" or needs_bytes(one, found.mime)
        if not wants_bytes or one.candidate.kind is Kind.INLINE:
            return Medium(found.id, found.url, found.mime)
        self._take_room(found, one)
        if found.id not in self.contents:
            self.contents[found.id] = await self._content(found, one)
        return Medium(found.id, found.url, found.mime, self.contents[found.id])

    async def _content(self, found: Found, one: Standing) -> bytes:
        fit = None if self.fit is None else self.fit.as_question()
        try:
            content = await self.sidecar.content(found.id, fit)
        except SidecarRefuses as refusal:
            raise _no_media(found.id, NoMedia(refusal.code, refusal.message), one) from None
        return pybase64.b64encode(content)

    def _take_room(self, found: Found, one: Standing) -> None:
        """Refuse what would make the body larger than a client may send one."""
        self.put_in += found.bytes * 4 // 3 + 4
        if len(self.body) + self.put_in > self.config.max_body_bytes:
            raise too_large(
                f"With the bytes of {found.id} in it the body would have more than "
                f"{self.config.max_body_bytes} bytes, the most that is accepted. Use smaller or "
                "fewer media.",
                one.way.spelled(),
            )


def _no_media(name: str, why: NoMedia | None, one: Standing) -> Refused:
    param = one.way.spelled()
    if why is not None and why.code == "max_size_exceeded":
        return too_large(why.message or f"The media of {name} is too large here.", param)
    if why is None:
        message = f"{name!r} is no media id: an id is jan_ and 26 letters and digits."
        return invalid_request("media_not_found", message, param)
    code = why.code if why.code.startswith("rendition") else "media_not_found"
    return invalid_request(code, f"There is no media {name} to send. {why.message}".strip(), param)
