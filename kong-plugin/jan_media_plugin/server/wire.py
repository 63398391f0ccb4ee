"""MessagePack as Kong speaks it (lua-MessagePack): Lua strings are bytes, whatever their type tag.

Kong packs every Lua string as a MessagePack string, so headers and query values are not always
UTF-8. Bytes that are not come in as lone surrogates (PEP 383) and go out as the same bytes.
"""

from typing import Any

import msgpack

TEXT_ERRORS = "surrogateescape"
_MOST_ITEMS = 1 << 20  # a header may claim 2**32 items and send none
_LARGE = 1 << 20


def new_unpacker(max_message: int) -> msgpack.Unpacker:
    """Return an unpacker for one connection that buffers at most ``max_message`` bytes."""
    return msgpack.Unpacker(
        read_size=min(1 << 16, max_message),
        strict_map_key=False,
        unicode_errors=TEXT_ERRORS,
        max_buffer_size=max_message,
        max_array_len=_MOST_ITEMS,
        max_map_len=_MOST_ITEMS,
    )


def _new_packer() -> msgpack.Packer:
    return msgpack.Packer(unicode_errors=TEXT_ERRORS)


_packer = _new_packer()


def pack(message: Any) -> bytes:
    """Return ``message`` packed; TypeError, ValueError or OverflowError if it cannot be."""
    global _packer
    packed: bytes = _packer.pack(message)
    if len(packed) > _LARGE:
        _packer = _new_packer()  # a packer keeps the largest buffer it ever needed
    return packed
