"""What a worker does besides answering requests. Each task repeats until it is cancelled."""

import asyncio
import logging
import os
import random
import secrets
import socket

from jan_media.catalog.interface import CatalogUnavailable, SchemaTooNew
from jan_media.library.sweep import sweep
from jan_media.log import begin
from jan_media.sidecar import Sidecar
from jan_media.storage.interface import StorageUnavailable

log = logging.getLogger("jan_media.sweep")

JITTER = 0.2
MIGRATE_AGAIN = 2.0  # seconds


async def sweep_now_and_then(sidecar: Sidecar, interval: float) -> None:
    """Sweep about every ``interval`` seconds. All workers of all sidecars try; a lease in the
    catalog lets one of them sweep at a time."""
    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    while True:
        spread = random.uniform(-JITTER, JITTER)  # noqa: S311  only spreads replicas over time
        await asyncio.sleep(interval * (1 + spread))
        begin(f"sweep-{secrets.token_hex(8)}")
        try:
            with sidecar.metrics.timing("sweep"):
                swept = await sidecar.lanes.downloads.run(sweep, sidecar.library, name)
        except (CatalogUnavailable, StorageUnavailable):
            log.warning("the sweep could not finish and will go on at its next turn")
            continue
        except Exception:
            log.exception("the sweep failed")
            continue
        if swept is None:
            log.info("another sidecar is sweeping")
        else:
            log.info("swept %s", swept)


async def migrate_later(sidecar: Sidecar) -> None:
    """Bring the schema up to date once the catalog answers; until then /readyz fails."""
    while True:
        await asyncio.sleep(MIGRATE_AGAIN)
        try:
            await sidecar.lanes.downloads.run(sidecar.library.catalog.migrate)
        except CatalogUnavailable:
            continue
        except SchemaTooNew:
            log.exception("the catalog cannot be used")
        return
