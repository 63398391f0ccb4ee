"""What stands for an id in a request to a model: a URL that works, with half its life left."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jan_media_plugin.bounded_cache import BoundedCache
from jan_media_plugin.resolve.sidecar import Sidecar, SidecarAway
from jan_media_plugin.single_flight import SingleFlight

_LONGEST_REMEMBERED = 16 * 1024  # characters: data URLs of real images would fill the memory


@dataclass(frozen=True, slots=True)
class NoMedia:
    """There is nothing to put in an id's place; ``code`` and ``message`` are the sidecar's."""

    code: str
    message: str


Resolved = dict[str, str | NoMedia]
"""By canonical id: the URL, or why there is none."""


class Urls:
    """Resolves ids. A URL is kept for half its life; that an id has no media is not kept."""

    def __init__(
        self,
        sidecar: Sidecar,
        *,
        resolve_as: str,
        max_bytes: int,
        cache_size: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._sidecar = sidecar
        self._question = {"as": resolve_as, "max_bytes": max_bytes}
        self._now = now
        self._known: BoundedCache[str, str] = BoundedCache(cache_size)
        self._asking: SingleFlight[str, str | NoMedia] = SingleFlight(self._ask)

    def remembered(self, ids: Sequence[str]) -> Resolved:
        """Return the URLs of those of ``ids`` that are known."""
        known: Resolved = {}
        for media_id in ids:
            url = self._known.get(media_id)
            if url is not None:
                known[media_id] = url
        return known

    async def resolve(self, ids: Sequence[str]) -> Resolved:
        """Resolve ``ids`` by one question, shared with whoever asks for them at the same time.

        Raises `SidecarAway`.
        """
        return await self._asking.get(ids)

    async def _ask(self, ids: Sequence[str]) -> Resolved:
        answer = await self._sidecar.ask("/internal/resolve", {"ids": list(ids), **self._question})
        try:
            return {media_id: self._take(media_id, answer) for media_id in ids}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise SidecarAway("it answers in another form") from error

    def _take(self, media_id: str, answer: dict[str, Any]) -> str | NoMedia:
        media = answer["media"].get(media_id)
        if media is None:
            error = answer["errors"].get(media_id, {})
            return NoMedia(str(error.get("code", "media_not_found")), str(error.get("message", "")))
        url, ttl = media["url"], float(media["ttl"])
        if not isinstance(url, str) or not url:
            raise ValueError("no URL")
        if len(url) <= _LONGEST_REMEMBERED:
            left = min(float(media["expires_at"]) - self._now(), ttl)
            self._known.put(media_id, url, left - ttl / 2)
        return url
