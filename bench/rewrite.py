"""What finding and replacing ids costs, by the size of the body and by the number of ids.

``python -m bench.rewrite`` runs the plugin's own rewriting in this process. Beside it stand a
search for one byte that is not there and a copy of the same body, both by the C library: what
touching every byte once costs on this machine at this moment.
"""

import functools
import json
from collections.abc import Callable

from jan_media.media_id import new_media_id
from jan_media_plugin.rewrite.edits import Edit, apply_edits, for_lua, to_inside_of_string
from jan_media_plugin.rewrite.find import find_media
from jan_media_plugin.rewrite.places import Places

from bench.chat import body_with_inline_image, chat_body
from bench.command import Options, run
from bench.figures import Repeated, Spread, in_turn
from bench.report import Result, Table

KIB, MIB = 1024, 1024 * 1024
SIZES = [KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 10 * MIB, 32 * MIB]
COUNTS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000]
SIZE_WITH_IDS = MIB
PLACES = Places(
    ["image_url.url", "image_url", "input_image.image_url", "video_url.url", "audio_url.url"],
    ["metadata", "tools", "arguments"],
)
URL = to_inside_of_string("https://storage.example/bucket/images/" + "s" * 300)
_ABSENT = b"\0"

Work = Callable[[], object]


def measure(options: Options) -> Result:
    """Both series."""
    sizes = SIZES[:3] if options.quick else SIZES
    counts = COUNTS[:3] if options.quick else COUNTS
    by_size = {f"{name}|{size}": work for size in sizes for name, work in _of_size(size).items()}
    by_count = {str(count): _rewriting(_body_of(count, options.quick)) for count in counts}
    sides = {**by_size, **by_count}
    taken = in_turn(
        {name: functools.partial(_seconds, work, options.seconds) for name, work in sides.items()},
        options.passes,
    )
    spreads = {name: Spread.of(values) for name, values in taken.items()}
    return _result(spreads, sizes, counts)


def _of_size(size: int) -> dict[str, Work]:
    media_id = new_media_id()
    prose, with_id = chat_body([], size), chat_body([media_id], size)
    image = body_with_inline_image([media_id], size)
    return {
        "no id": lambda: find_media(prose, PLACES),
        "one id": _rewriting(with_id),
        "one id, edits": _rewriting(with_id, _as_edits),
        "one id after an image": _rewriting(image),
        "json.loads": lambda: json.loads(with_id),
        "search": lambda: with_id.find(_ABSENT),
        "copy": lambda: bytearray(with_id),
    }


def _body_of(count: int, quick: bool) -> bytes:
    return chat_body([new_media_id() for _ in range(count)], 16 * KIB if quick else SIZE_WITH_IDS)


def _rewriting(body: bytes, finish: Callable[[bytes, list[Edit]], object] = apply_edits) -> Work:
    def rewrite() -> None:
        found = find_media(body, PLACES)
        edits = [Edit(one.start, one.end, URL) for one in found]
        if not edits:
            raise RuntimeError("the body's ids were not found")
        finish(body, edits)

    return rewrite


def _as_edits(_: bytes, edits: list[Edit]) -> object:
    return for_lua(edits)


def _seconds(work: Work, at_least: float) -> float:
    return Repeated(work).seconds(at_least)


def _result(spreads: dict[str, Spread], sizes: list[int], counts: list[int]) -> Result:
    names = list(dict.fromkeys(name.partition("|")[0] for name in spreads if "|" in name))
    sized = {name: {size: spreads[f"{name}|{size}"] for size in sizes} for name in names}
    whole = Table(
        ["body", *(f"{name}, µs" for name in names)],
        [
            [_size(size), *(f"{sized[name][size].median * 1e6:,.1f}" for name in names)]
            for size in sizes
        ],
        "Processor time of one body, median of the passes.",
    )
    slope = Table(
        ["body", *(f"{name}, ns/byte" for name in names), "one id ÷ copy"],
        [
            [
                _size(size),
                *(f"{sized[name][size].median / size * 1e9:.3f}" for name in names),
                _ratio(sized["one id"][size], sized["copy"][size]),
            ]
            for size in sizes
        ],
        "The same for each byte: a flat column is a straight line.",
    )
    ids = Table(
        ["ids", "µs", "µs for each more id"],
        [
            [
                f"{count:,}",
                f"{spreads[str(count)].median * 1e6:,.0f}",
                _step(spreads, counts, at),
            ]
            for at, count in enumerate(counts)
        ],
        f"Ids in a body of {_size(SIZE_WITH_IDS)}, found and replaced.",
    )
    figures = {
        "by_size": {
            name: {str(size): spread.as_json() for size, spread in series.items()}
            for name, series in sized.items()
        },
        "by_ids": {str(count): spreads[str(count)].as_json() for count in counts},
    }
    return Result("rewrite", [whole, slope, ids], figures)


def _ratio(one: Spread, other: Spread) -> str:
    return f"{one.median / other.median:.1f}×"


def _step(spreads: dict[str, Spread], counts: list[int], at: int) -> str:
    if at == 0:
        return ""
    more = spreads[str(counts[at])].median - spreads[str(counts[0])].median
    return f"{more / (counts[at] - counts[0]) * 1e6:.2f}"


def _size(size: int) -> str:
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"


if __name__ == "__main__":
    run(measure, __doc__, passes=5, seconds=0.05)
