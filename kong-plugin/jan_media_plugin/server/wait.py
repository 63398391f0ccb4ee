"""How a handler waits for I/O without holding anybody else up."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from jan_media_plugin.server.event import current_event

T = TypeVar("T")


def wait_for(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` on the server's event loop, and return its result.

    Other events go on meanwhile. Raises what the coroutine raises. What an event waits in all is
    limited: beyond, the coroutine is cancelled, the handler unwinds with GreenletExit (so
    ``finally`` blocks run) and the client gets 503. RuntimeError outside an event.
    """
    try:
        event = current_event()
    except RuntimeError:
        coroutine.close()
        raise
    return event.wait_for(coroutine)
