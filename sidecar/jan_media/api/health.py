"""Whether the process is alive, and whether it can do its work."""

import asyncio
import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jan_media.api.routes import sidecar_of
from jan_media.catalog.interface import CatalogUnavailable
from jan_media.server import metrics
from jan_media.sidecar import Sidecar
from jan_media.storage.interface import StorageUnavailable

CHECK_SECONDS = 3.0
_LONG = 0.2  # seconds


async def alive(request: Request) -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """Check that catalog and storage answer too; a 503 names the first that does not.

    Raises `CatalogUnavailable` or `StorageUnavailable`.
    """
    sidecar = sidecar_of(request)
    library, lanes = sidecar.library, sidecar.lanes
    checks = (
        (library.catalog.check, lanes.catalog_health, CatalogUnavailable),
        (library.storage.check, lanes.storage_health, StorageUnavailable),
    )
    for check, lane, away in checks:
        try:
            await asyncio.wait_for(lane.run(check), CHECK_SECONDS)
        except TimeoutError:
            raise away("no answer in time") from None
    return JSONResponse({"status": "ready"})


class Scrape:
    """The endpoint of ``/metrics``, for the internal listener alone: counters of all workers and
    sizes of the catalog, in Prometheus' text format.

    Counting the rows of a large catalog is slow, so sizes that took long are cached for a hundred
    times as long. There are no sizes while the catalog is unavailable.
    """

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self._sizes: dict[str, int] = {}
        self._kept_until = 0.0

    async def __call__(self, request: Request) -> Response:
        lane, began = self._sidecar.lanes.downloads, time.monotonic()
        if began >= self._kept_until:
            try:
                self._sizes = await lane.run(self._sidecar.library.catalog.counts)
            except CatalogUnavailable:
                self._sizes = {}
            took = time.monotonic() - began
            self._kept_until = began + 100 * took if took > _LONG else 0.0
        counted = await lane.run(self._sidecar.metrics.text, self._sizes)
        return Response(counted, media_type=metrics.CONTENT_TYPE)
