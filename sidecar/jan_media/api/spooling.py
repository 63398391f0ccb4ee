"""A spool for one request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jan_media.library.spool import Spool
from jan_media.sidecar import Sidecar


@asynccontextmanager
async def spooled(sidecar: Sidecar) -> AsyncIterator[Spool]:
    """A spool for a file of the allowed size, dropped in the end."""
    spool = Spool(sidecar.library.spool_dir, max_bytes=sidecar.settings.max_bytes)
    try:
        yield spool
    finally:
        if spool.on_disk:
            sidecar.lanes.uploads.submit(spool.close)  # nobody has to wait for it
        else:
            spool.close()
