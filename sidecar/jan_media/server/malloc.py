"""How the C library hands out memory."""

import contextlib
import ctypes

_M_ARENA_MAX = -8  # mallopt(3)


def use_two_arenas() -> None:
    """Let all threads share two of malloc's arenas. By default there may be eight for each core,
    and each keeps what it has been given back. Not every C library has them; then nothing is done.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
