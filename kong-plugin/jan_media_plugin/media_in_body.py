"""Media in a request's body, from reading the body to giving it back."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pybase64

from jan_media_plugin.answers import Refused, Unavailable, invalid_request, too_large
from jan_media_plugin.auth.caller import Caller
from jan_media_plugin.config import Config
from jan_media_plugin.exchange import Edit, Exchange, edited
from jan_media_plugin.fit import Fit
from jan_media_plugin.headers import REMOVED, Changes, is_form
from jan_media_plugin.inline import InlineMedia
from jan_media_plugin.resolve.media import Answer, Found, MediaLookup, NoMedia
from jan_media_plugin.resolve.sidecar import Sidecar, SidecarRefuses
from jan_media_plugin.rewrite.candidates import Kind, candidates, inline_media, may_hold_id
from jan_media_plugin.rewrite.encodings import codings_of, decoded, in_utf8
from jan_media_plugin.rewrite.forms import Medium, edits_for, in_order, needs_bytes
from jan_media_plugin.rewrite.members import Objects
from jan_media_plugin.rewrite.parsed import NotJson, Standing, at_places
from jan_media_plugin.rewrite.places import Places

_NOW_JSON: Changes = {"Content-Encoding": REMOVED, "Content-Type": "application/json"}
_MOST_EDITS = 1000  # each may be a call of Kong; for more, it is cheaper to send the whole body


class MediaInBody:
    """Replaces names of media by URLs or bytes, for one configuration."""

    def __init__(self, config: Config, sidecar: Sidecar, lookup: MediaLookup) -> None:
        self._config = config
        self._sidecar = sidecar
        self._lookup = lookup
        self._limits = None if config.fit is None else config.fit.limits()
        self._places = Places(config.places, config.never_below)

    async def resolve(self, exchange: Exchange, caller: Caller | None) -> None:
        """Rewrite the body if it names media; otherwise leave it unchanged.

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
            return  # it is a form; some clients declare JSON as one, and model servers accept that
        stores_for = caller if self._config.inline == "store" else None
        standing = self._standing(body, stores=stores_for is not None)
        if not standing:
            return
        fit = None if self._limits is None else self._limits.for_images(len(standing))
        request = _Replacing(self._config, self._sidecar, self._lookup, fit, body)
        if stores_for is not None:
            inline = InlineMedia(self._config, self._sidecar, stores_for, body)
            standing = await inline.named(standing, request.answers)
        edits = in_order(await request.edits(standing))
        if not edits:
            return
        recoded = codings or body is not sent
        if recoded or len(edits) > _MOST_EDITS:
            await exchange.replace(edited(body, edits), _NOW_JSON if recoded else {})
        else:
            await exchange.edit(edits)
        inline_ids = [one.name for one, _ in standing if one.kind is Kind.INLINE and one.name]
        if inline_ids:
            await exchange.stored(list(dict.fromkeys(inline_ids)))

    def _standing(self, body: bytes, *, stores: bool) -> list[Standing]:
        """Return the strings in ``body`` that name media, at places of media."""
        least = self._config.inline_min_bytes
        named = []
        try:
            inline = inline_media(body, least) if stores else []
            named = candidates(body, inline)
            if not named and not inline and not may_hold_id(body):
                return []
            return at_places(body, sorted([*named, *inline]), self._places)
        except NotJson:
            if not may_hold_id(body) and all(one.kind is Kind.LOOK_ALIKE for one in named):
                return []
            raise invalid_request(
                "invalid_json",
                "The body holds a media id and is not JSON, so the id cannot be resolved. Send "
                "JSON with Content-Type: application/json.",
            ) from None


@dataclass
class _Replacing:
    """One request: the media of its names, and the edits that insert them."""

    config: Config
    sidecar: Sidecar
    lookup: MediaLookup
    fit: Fit | None
    body: bytes
    contents: dict[str, bytes] = field(default_factory=dict)
    """By id, the base64 of what was fetched."""
    put_in: int = 0
    """Bytes of base64 that were added to the body so far."""
    answered: dict[str, Answer] = field(default_factory=dict)
    """Answers by name, so that nothing is looked up twice in one request."""

    async def edits(self, standing: Sequence[Standing]) -> list[Edit]:
        """Return all edits, in no order. Raises `Refused`."""
        for one in standing:
            if one.candidate.kind is Kind.LOOK_ALIKE and self.config.unresolved == "reject":
                raise _no_media(one.candidate.name, None, one)
        named = [one for one, _ in standing if one.kind is not Kind.LOOK_ALIKE and one.name]
        count = len({one.name for one in named if one.kind is not Kind.INLINE})
        if count > self.config.max_ids:
            raise invalid_request(
                "too_many_ids",
                f"The request has {count} media ids. "
                f"The most that is accepted is {self.config.max_ids}.",
            )
        answers = await self.answers([one.name for one in named])
        edits: list[Edit] = []
        objects = Objects(self.body)
        for one in standing:
            name = one.candidate.name
            answer = answers.get(name)
            if isinstance(answer, Found):
                edits += edits_for(objects, one, await self._medium(answer, one))
            elif isinstance(answer, NoMedia):
                self._refuse(name, answer, one)
        return edits

    async def answers(self, names: Sequence[str]) -> dict[str, Answer]:
        """Return the answer for each name. Raises `Refused`."""
        new = [name for name in dict.fromkeys(names) if name not in self.answered]
        answers = self.lookup.remembered(new, self.fit)
        missing = [name for name in new if name not in answers]
        if missing:
            answers |= await self.lookup.resolve(missing, self.fit)
        # This very request may store what is missing now, so a miss is asked for again.
        self.answered |= {n: one for n, one in answers.items() if not isinstance(one, NoMedia)}
        return {**self.answered, **answers}

    def _refuse(self, name: str, why: NoMedia, one: Standing) -> None:
        if why.code == "rendition_pending":
            raise Unavailable(why.message or "A picture is still being converted. Try again.")
        if self.config.unresolved == "reject":
            raise _no_media(name, why, one)

    async def _medium(self, found: Found, one: Standing) -> Medium:
        """Return what replaces a name, with the bytes where they are needed."""
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
        """Refuse what would make the body larger than a client's body may be."""
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
