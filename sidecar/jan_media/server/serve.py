"""Running the sidecar: its sockets, then a worker here or several in processes of their own.

The sockets are bound once, before any worker is forked, so that all workers take connections from
the same ones.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from jan_media.server.sockets import listening, with_real_ports
from jan_media.server.supervisor import Supervisor
from jan_media.settings import Address, Settings


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. ``announce`` gets one line once everything answers.

    Raises `CannotStart` if an address is taken or what the settings name cannot be used.
    """
    with listening(settings.listen) as public, listening(settings.internal_listen) as internal:
        settings = with_real_ports(settings, public, internal)

        def ready() -> None:
            announce(
                f"jan-media ready on {_shown(settings.listen)} "
                f"(internal: {_shown(settings.internal_listen)})"
            )

        if settings.workers == 1:
            from jan_media.server.worker import Worker

            Worker(settings, public, internal).work(ready)
        else:
            with tempfile.TemporaryDirectory(prefix="jan-media-metrics-") as folder:
                Supervisor(settings, public, internal, Path(folder)).supervise(ready)


def _shown(address: Address) -> str:
    return str(address) if address.path else f"http://{address}"
