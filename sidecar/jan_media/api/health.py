"""Whether the process is alive, and whether it can do its work."""

import asyncio
import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jan_media.api.errors import unavailable_response
from jan_media.api.routes import Endpoint, sidecar_of
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
    """The catalog and the storage answer too; 503 names the first that does not."""
    sidecar = sidecar_of(request)
    library, lanes = sidecar.library, sidecar.lanes
    checks = (
        ("catalog", library.catalog.check, lanes.catalog_health),
        ("storage", library.storage.check, lanes.storage_health),
    )
    for name, check, lane in checks:
        try:
            await asyncio.wait_for(lane.run(check), CHECK_SECONDS)
        except (CatalogUnavailable, StorageUnavailable, TimeoutError):
            return unavailable_response(f"media {name}")
    return JSONResponse({"status": "ready"})


def scrape_of(sidecar: Sidecar) -> Endpoint:
    """The endpoint of ``/metrics``, for the internal listener alone."""
    sizes = _Sizes(sidecar)

    async def scrape(request: Request) -> Response:
        """Counters of all workers and sizes of the catalog, in Prometheus' text format."""
        known = await sizes.known()
        counted = await sidecar.lanes.downloads.run(sidecar.metrics.text, known)
        return Response(counted, media_type=metrics.CONTENT_TYPE)

    return scrape


class _Sizes:
    """The sizes of the catalog. Counting rows takes longer the more there are, so one that
    took long is kept for a hundred times as long."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self._sizes: dict[str, int] = {}
        self._kept_until = 0.0

    async def known(self) -> dict[str, int]:
        """Return the latest sizes; none while the catalog is away."""
        began = time.monotonic()
        if began >= self._kept_until:
            count = self._sidecar.library.catalog.counts
            try:
                self._sizes = await self._sidecar.lanes.downloads.run(count)
            except CatalogUnavailable:
                self._sizes = {}
            took = time.monotonic() - began
            self._kept_until = began + 100 * took if took > _LONG else 0.0
        return self._sizes
