"""How much the server takes on, and how long it waits. All durations are in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The bounds of one plugin server; each is a flag of ``python -m jan_media_plugin``."""

    time_limit: float = 10.0
    """What one event may wait for I/O, or run without a pause; beyond: 503. Kong's time does not
    count. It must stay below Kong's ``lua_socket_read_timeout``, after which Kong proxies the
    request un-plugged."""
    max_events: int = 4096
    """Events in flight; beyond: 503."""
    abandoned_after: float = 300.0
    """How long Kong may take over one PDK call (a slow client's body) before its event is dropped;
    Kong says nothing when it gives an event up, so silence is all there is to go by."""
    evictable_after: float = 10.0
    """The same when ``max_events`` is reached: the longest silent event makes room if it has been
    silent for so long."""
    kong_read_timeout: float = 60.0
    """Kong's ``lua_socket_read_timeout``: answers older than this are answers nobody waits for."""
    drain: float = 3.0
    """How long events in flight may go on after SIGTERM."""
    max_message: int = 128 * 1024 * 1024
    """Bytes of one message from Kong; a larger one closes its connection."""
