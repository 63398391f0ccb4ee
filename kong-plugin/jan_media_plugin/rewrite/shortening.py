"""A body without most of what is before its first id: the messages that came earlier, usually.

A run of whole elements of an array can be left out: with the elements around it the body is JSON
exactly if it is with the run between them, as long as the run is well-formed by itself, and the
same keys lead to all that is left.
"""

import re

from jan_media_plugin.rewrite.well_formed import end_of_first

# Objects of one array usually begin alike: messages with their role, tools with their type.
_ARRAY_OF_OBJECTS = re.compile(
    rb'\[[ \t\n\r]{0,64}+(\{[ \t\n\r]{0,64}+"[A-Za-z_][^"\\]{0,64}+"[ \t\n\r]{0,64}+:)'
)
_ARRAYS_TRIED = 4
_LONG = 4096
_NEAR = 64 * 1024


def shortened(body: bytes, before: int) -> tuple[bytes, int]:
    """Return ``body`` with less before the position ``before``, and how many bytes less.

    What is left out is one run of elements that begin as the first of their array does, each with
    its comma. What comes after the run begins so, too. Were all this within a string, the quote
    there would end it right before a letter, so the body is not JSON, with the run or without it.
    """
    position = 0
    for _ in range(_ARRAYS_TRIED):
        array = before - position >= _LONG and _ARRAY_OF_OBJECTS.search(body, position, before)
        if not array:
            break
        start = array.start(1)
        end = body.rfind(array[1], max(start, before - _NEAR), before)
        if end - start < _LONG:
            break
        run = b"".join((b"[", memoryview(body)[start:end], b"{}]"))
        is_over = end_of_first(run)
        if is_over == len(run):
            return body[:start] + body[end:], end - start
        if is_over is None:
            break
        position = start + is_over - 1  # this array ends there; that of the id may come after it
    return body, 0
