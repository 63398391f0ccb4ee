"""The sweep by schedule: in every worker of every replica, one at a time across all of them."""

import asyncio
import logging
import os
import random
import secrets
import socket

from jan_media.catalog.interface import CatalogUnavailable
from jan_media.library.sweep import sweep
from jan_media.sidecar import Sidecar
from jan_media.storage.interface import StorageUnavailable

log = logging.getLogger("jan_media.sweep")

JITTER = 0.2


async def sweep_now_and_then(sidecar: Sidecar, interval: float) -> None:
    """Sweep about every ``interval`` seconds, until cancelled."""
    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    while True:
        spread = random.uniform(-JITTER, JITTER)  # noqa: S311  only spreads replicas over time
        await asyncio.sleep(interval * (1 + spread))
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
