"""Long stretches of a body without ids: strings, and runs of an array's elements.

They are found by looking at a byte here and there, and each is then read by itself: a stretch is a
well-formed string, or well-formed values and the commas between them.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from jan_media_plugin.rewrite.candidates import Found
from jan_media_plugin.rewrite.well_formed import is_value

_LONG = 4096
# Elements are read by so many bytes at once: they are copied, and small copies are cheap.
_RUN = 256 * 1024
# Objects of one array usually begin alike: messages with their role, tools with their type.
_ARRAY_OF_OBJECTS = re.compile(rb'\[\s{0,64}+(\{\s{0,64}+"[^"\\]{1,64}+"\s{0,64}+:)')
_ARRAYS_TRIED = 4
_BEGINNINGS_TRIED = 64
_BREAKS_TRIED = 3
_MOST_SPACE = 128

Stretch = tuple[int, int]


def stretches(body: bytes, ids: Sequence[Found]) -> list[Stretch]:
    """Return stretches of ``body`` without any of ``ids``, each apart from the others."""
    if len(body) < 2 * _LONG:
        return []
    taken = [(one.start - 1, one.end + 1) for one in ids]
    found = [string for gap in _gaps(taken, len(body)) for string in _strings(body, *gap)]
    arrays = itertools.islice(_ARRAY_OF_OBJECTS.finditer(body), _ARRAYS_TRIED)
    while (gaps := _gaps(taken + found, len(body))) and (array := next(arrays, None)):
        found += [run for gap in gaps for run in _runs(body, array[1], *gap)]
    return found


def _gaps(taken: Iterable[Stretch], end: int) -> list[Stretch]:
    """Return what is long of the stretches before, between and after the ones taken."""
    edges = [0, *itertools.chain.from_iterable(sorted(taken)), end]
    return [gap for gap in zip(edges[::2], edges[1::2], strict=True) if gap[1] - gap[0] > 2 * _LONG]


def _strings(body: bytes, start: int, end: int) -> Iterator[Stretch]:
    """Yield long strings that are the value of a key and hold no quote, with their own quotes."""
    view = memoryview(body)
    while (closing := body.find(b'"', start + _LONG, end)) >= 0:
        opening = body.rfind(b'"', start, start + _LONG)
        before = body[max(start, opening - _MOST_SPACE) : max(start, opening)]
        start = closing + 1
        if (
            closing - opening > _LONG
            and before.rstrip().endswith(b":")
            and is_value(view[opening:start])
        ):
            yield opening, start


def _runs(body: bytes, beginning: bytes, start: int, end: int) -> Iterator[Stretch]:
    """Yield runs of whole elements, each run and what comes after it beginning with these bytes."""
    view = memoryview(body)
    first = body.find(beginning, start, end)
    while first >= 0:
        # After a backslash, quotes that stand for the run would not be quotes.
        is_apart = body[first - 1 : first] != b"\\"
        breaks = _breaks(body, beginning, first, min(end, first + _RUN)) if is_apart else ()
        for comma, after in itertools.islice(breaks, _BREAKS_TRIED):
            if is_value(b"".join((b"[", view[first:comma], b"]"))):
                yield first, comma
                first = after
                break
        else:
            first = body.find(beginning, first + _RUN, end)


def _breaks(body: bytes, beginning: bytes, start: int, end: int) -> Iterator[Stretch]:
    """Yield places with a comma and then these bytes, from last to first, but not many."""
    for _ in range(_BEGINNINGS_TRIED):
        end = body.rfind(beginning, start + 1, end)
        if end < 0:
            return
        before = max(start, end - _MOST_SPACE)
        between = body[before:end].rstrip()
        if between.endswith(b","):
            yield before + len(between) - 1, end
