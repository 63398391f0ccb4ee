"""Renditions made when a picture is uploaded, so that no request to a model waits for them."""

import logging
from concurrent.futures import Future

from jan_media.catalog.interface import CatalogUnavailable, Media
from jan_media.content.allowed_types import CHECKED
from jan_media.errors import Refused
from jan_media.library import renditions
from jan_media.library.library import Library
from jan_media.renditions.fit import Fit
from jan_media.server.lanes import Lane
from jan_media.storage.interface import StorageUnavailable

_REMEMBERED = 8  # fits: a route has one, or two if it has another for many images
_MOST_WAITING = 200  # renditions

log = logging.getLogger("jan_media.renditions")


class Ahead:
    """Makes renditions of new pictures, within the limits that routes asked for recently."""

    def __init__(self, library: Library, lane: Lane) -> None:
        """``lane`` is for this work alone. Its number of threads is how many are made at once."""
        self._library = library
        self._lane = lane
        self._asked: dict[str, Fit] = {}  # the latest last
        self._waiting: set[Future[None]] = set()

    def asked(self, fit: Fit) -> None:
        """Remember limits that a route has asked for."""
        self._asked.pop(fit.key, None)
        self._asked[fit.key] = fit
        while len(self._asked) > _REMEMBERED:
            del self._asked[next(iter(self._asked))]

    def make(self, media: Media) -> None:
        """Start the renditions of this picture that routes will ask for. If too many are waiting
        already, the first use makes them."""
        for fit in tuple(self._asked.values()) if media.mime in CHECKED else ():
            if len(self._waiting) < _MOST_WAITING:
                started = self._lane.submit(self._make, media, fit)
                self._waiting.add(started)
                started.add_done_callback(self._waiting.discard)

    def _make(self, media: Media, fit: Fit) -> None:
        try:
            renditions.make(self._library, media, fit)
        except (Refused, CatalogUnavailable, StorageUnavailable) as problem:
            log.info("a rendition of %s was not made ahead: %s", media.id, problem)
