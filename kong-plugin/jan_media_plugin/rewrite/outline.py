"""The keys that lead to each id, from an outline of the body that a parser in C reads.

In the outline a number of our own stands for each id, and long stretches without ids are left out.
Parsed, it is small, and the numbers in it say which id stands where. Nothing that `stretches` or
`candidates` guess can make this wrong: a number is found as a value only if the parser came to it
outside of strings, having read whatever is before. What this way does not tell, it leaves open.
"""

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

from jan_media_plugin.rewrite.candidates import Found
from jan_media_plugin.rewrite.places import Keys
from jan_media_plugin.rewrite.stretches import stretches

# Of nineteen digits, and nobody outside can know it.
_FIRST_NUMBER = 2 * 10**18 + secrets.randbelow(10**18)
# What is parsed may take forty times the bytes that spell it.
_LARGEST = 128 * 1024
_MOST_IDS = _LARGEST // 32
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_DECODER = msgspec.json.Decoder()


def keys_to(body: bytes, ids: Sequence[Found], depth: int) -> list[Keys] | None:
    """Return the keys to each of ``ids`` in a body in UTF-8, or None if this way does not tell.

    None means that the body is no JSON, that an id is no value or is one of two values of one key,
    that there are thousands of ids, or that the outline is large, is nested deeper than ``depth``
    or has numbers beyond reason.
    """
    if len(ids) > _MOST_IDS or len(outline := _outline(body, ids)) > _LARGEST:
        return None
    found: dict[int, Keys] = {}
    try:
        _collect([_DECODER.decode(outline)], (), depth, found)
        return [found[_FIRST_NUMBER + at] for at in range(len(ids))]
    except (ValueError, KeyError, RecursionError):
        return None


def _outline(body: bytes, ids: Sequence[Found]) -> bytes:
    replaced = [
        (one.start - 1, one.end + 1, b"%d" % (_FIRST_NUMBER + at)) for at, one in enumerate(ids)
    ]
    # A string in the place of what is left out: the parser refuses it next to another one, and
    # so wherever what was left out was not whole values or most of a string.
    replaced += [(start, end, b'""') for start, end in stretches(body, ids)]
    replaced.sort()
    view = memoryview(body)
    pieces: list[bytes | memoryview] = []
    kept = len(_BYTE_ORDER_MARK) if body.startswith(_BYTE_ORDER_MARK) else 0
    for start, end, instead in replaced:
        pieces += view[kept:start], instead
        kept = end
    pieces.append(view[kept:])
    return b"".join(pieces)


def _collect(container: Any, keys: Keys, depth: int, found: dict[int, Keys]) -> None:
    """Note the keys to each number that may be ours. Raises RecursionError beyond ``depth``."""
    if depth < 0:
        raise RecursionError
    if type(container) is dict:
        for key, value in container.items():
            kind = type(value)
            if kind is str:
                continue
            if kind is dict or kind is list:
                _collect(value, (*keys, key), depth - 1, found)
            elif kind is int and value >= _FIRST_NUMBER:
                found[value] = (*keys, key)
    else:
        for value in container:
            kind = type(value)
            if kind is dict or kind is list:
                _collect(value, keys, depth - 1, found)
            elif kind is int and value >= _FIRST_NUMBER:
                found[value] = keys
