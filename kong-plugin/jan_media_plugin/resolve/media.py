"""Resolves a name in a request to a model: to a URL with at least half its lifetime left."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

import msgspec

from jan_media_plugin.bounded_cache import BoundedCache
from jan_media_plugin.fit import Fit
from jan_media_plugin.metrics import IDS, RENDITIONS
from jan_media_plugin.resolve.sidecar import Sidecar
from jan_media_plugin.single_flight import SingleFlight


class Found(msgspec.Struct, frozen=True):
    """A medium, or its rendition for the route, and a URL to it."""

    id: str
    url: Annotated[str, msgspec.Meta(min_length=1)]
    mime: str
    bytes: int
    expires_at: float
    """Seconds since the epoch."""
    ttl: float
    """Seconds of the URL's whole lifetime."""
    rendition: bool = False


class NoMedia(msgspec.Struct, frozen=True):
    """A name has no media; ``code`` and ``message`` are the sidecar's."""

    code: str = "media_not_found"
    message: str = ""


class _Resolved(msgspec.Struct):
    """The sidecar's answer, by name; a name in no map has no media."""

    media: dict[str, Found]
    errors: dict[str, NoMedia]
    foreign: list[str] = []


class Foreign:
    """The name is a URL that is not ours, and is left unchanged."""


Answer = Found | NoMedia | Foreign
Asked = tuple[str, Fit | None]
"""A name, which is a canonical id or a URL, and what the medium has to fit."""


class MediaLookup:
    """Resolves names. Found media are cached for half their URL's lifetime; nothing else is."""

    def __init__(
        self, sidecar: Sidecar, *, cache_size: int, now: Callable[[], float] = time.time
    ) -> None:
        self._sidecar = sidecar
        self._now = now
        self._known: BoundedCache[Asked, Found] = BoundedCache(cache_size)
        self._asking: SingleFlight[Asked, Answer] = SingleFlight(self._ask)

    def remembered(self, names: Sequence[str], fit: Fit | None) -> dict[str, Answer]:
        """Return the cached answers for ``names``."""
        known = ((name, self._known.get((name, fit))) for name in names)
        found = {name: answer for name, answer in known if answer is not None}
        _count("cached", found.values())
        return dict(found)

    async def resolve(self, names: Sequence[str], fit: Fit | None) -> dict[str, Answer]:
        """Resolve ``names`` in one question, shared with requests that ask the same meanwhile.

        Raises `Unavailable`.
        """
        answers = await self._asking.get([(name, fit) for name in names])
        _count("resolved", answers.values())
        return {name: answer for (name, _), answer in answers.items()}

    async def _ask(self, asked: Sequence[Asked]) -> dict[Asked, Answer]:
        fit = asked[0][1]  # the same for all of one request
        question = {
            "names": [name for name, _ in asked],
            "fit": None if fit is None else fit.as_question(),
        }
        said = await self._sidecar.ask("/internal/resolve", question, _Resolved)
        return {each: self._take(each, said) for each in asked}

    def _take(self, asked: Asked, said: _Resolved) -> Answer:
        name = asked[0]
        if name in said.foreign:
            return Foreign()
        found = said.media.get(name)
        if found is None:
            return said.errors.get(name, NoMedia())
        left = min(found.expires_at - self._now(), found.ttl)
        self._known.put(asked, found, left - found.ttl / 2)
        return found


# Looking up labels takes longer than counting.
_NAMES = {result: IDS.labels(result) for result in ("cached", "resolved", "unknown", "foreign")}


def _count(found_how: str, answers: Iterable[Answer]) -> None:
    for answer in answers:
        if isinstance(answer, Found):
            _NAMES[found_how].inc()
            if answer.rendition:
                RENDITIONS.inc()
        else:
            _NAMES["unknown" if isinstance(answer, NoMedia) else "foreign"].inc()
