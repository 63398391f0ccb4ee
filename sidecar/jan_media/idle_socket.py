"""Connections that are kept for later, and what may have become of them."""

import select


def has_news(fileno: int) -> bool:
    """Whether an idle connection can be read from: the server's end, or what it says unasked."""
    poll = select.poll()
    poll.register(fileno, select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))
