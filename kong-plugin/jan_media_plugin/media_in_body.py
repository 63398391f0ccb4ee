"""Media ids in a request's body, from reading the body to giving it back."""

from collections.abc import Sequence

from jan_media_plugin.answers import Refused, invalid_request, too_large, unavailable
from jan_media_plugin.config import Config
from jan_media_plugin.exchange import Edit, Exchange
from jan_media_plugin.resolve.sidecar import SidecarAway
from jan_media_plugin.resolve.urls import NoMedia, Resolved, Urls
from jan_media_plugin.rewrite.candidates import Found
from jan_media_plugin.rewrite.edits import to_inside_of_string
from jan_media_plugin.rewrite.find import TooComplex, find_media, name_place
from jan_media_plugin.rewrite.places import Places
from jan_media_plugin.server.event import wait_for


class MediaInBody:
    """Puts URLs in the place of ids, for one configuration."""

    def __init__(self, config: Config, urls: Urls) -> None:
        self._config = config
        self._urls = urls
        self._places = Places(config.places, config.never_below)

    def resolve(self, exchange: Exchange) -> None:
        """Rewrite the body if it holds ids at places of media, and leave it alone otherwise.

        Raises `Refused`. Then nothing has been changed.
        """
        body = exchange.body()
        if not body:
            return
        if len(body) > self._config.max_body_bytes:
            raise too_large(
                f"The body has {len(body)} bytes. "
                f"The most that is accepted is {self._config.max_body_bytes}."
            )
        found = self._find(body)
        if found:
            edits = self._edits(body, found, self._resolved(found))
            if edits:
                exchange.edit(edits)

    def _find(self, body: bytes) -> list[Found]:
        try:
            return find_media(body, self._places)
        except TooComplex as error:
            raise invalid_request(
                "body_too_complex", f"A body with media ids cannot be {error}."
            ) from None

    def _resolved(self, found: Sequence[Found]) -> Resolved:
        ids = list({one.media_id: None for one in found})
        if len(ids) > self._config.max_ids:
            raise invalid_request(
                "too_many_ids",
                f"The request has {len(ids)} media ids. "
                f"The most that is accepted is {self._config.max_ids}.",
            )
        resolved = self._urls.remembered(ids)
        if len(resolved) < len(ids):
            missing = [media_id for media_id in ids if media_id not in resolved]
            try:
                resolved |= wait_for(self._urls.resolve(missing))
            except SidecarAway:
                raise unavailable("Media cannot be resolved at the moment. Try again.") from None
        return resolved

    def _edits(self, body: bytes, found: Sequence[Found], resolved: Resolved) -> list[Edit]:
        edits = []
        spelled: dict[str, bytes] = {}
        for at, one in enumerate(found):
            url = resolved[one.media_id]
            if isinstance(url, NoMedia):
                if self._config.unresolved == "reject":
                    raise _no_media(one.media_id, url, name_place(body, self._places, at))
                continue
            if one.media_id not in spelled:
                spelled[one.media_id] = to_inside_of_string(url).encode()
            edits.append(Edit(one.start, one.end, spelled[one.media_id]))
        return edits


def _no_media(media_id: str, why: NoMedia, param: str | None) -> Refused:
    if why.code == "max_size_exceeded":
        return too_large(why.message or f"The media of {media_id} is too large here.", param)
    message = f"There is no media {media_id} to send."
    return invalid_request("media_not_found", f"{message} {why.message}".strip(), param)
