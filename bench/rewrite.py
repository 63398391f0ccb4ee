"""What finding and replacing ids costs, by size and kind of the body and by the number of ids.

``python -m bench.rewrite`` runs the plugin's own rewriting in this process. Beside it stand a
search for one byte that is not there and a copy of the same body, both by the C library: what
touching every byte once costs on this machine at this moment.
"""

import functools
import json
from collections.abc import Callable
from typing import Any

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
SIZE_OF_KINDS = 64 * KIB
PLACES = Places(
    ["image_url.url", "image_url", "input_image.image_url", "video_url.url", "audio_url.url"],
    ["metadata", "tools", "arguments"],
)
URL = to_inside_of_string("https://storage.example/bucket/images/" + "s" * 300)
_ABSENT = b"\0"

Work = Callable[[], object]


def measure(options: Options) -> Result:
    """The three series."""
    sizes = SIZES[:3] if options.quick else SIZES
    counts = COUNTS[:3] if options.quick else COUNTS
    by_size = {f"{name}|{size}": work for size in sizes for name, work in _of_size(size).items()}
    by_count = {str(count): _rewriting(_body_of(count, options.quick)) for count in counts}
    kinds = _kinds(16 * KIB if options.quick else SIZE_OF_KINDS)
    by_kind = {f"{kind}|{name}": work for kind in kinds for name, work in _of_kind(kinds[kind])}
    sides = {**by_size, **by_count, **by_kind}
    taken = in_turn(
        {name: functools.partial(_seconds, work, options.seconds) for name, work in sides.items()},
        options.passes,
    )
    spreads = {name: Spread.of(values) for name, values in taken.items()}
    return _result(spreads, sizes, counts, kinds)


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


def _kinds(size: int) -> dict[str, bytes]:
    """Chats of about ``size`` bytes with one id at their end, by what they are full of."""
    prose = 'He said "yes", then looked at it again: two people, a street at night.\n'
    other = "Größe 你好 世界 Ελλάδα привет, "
    code = 'def of(some_list):\n    return {"a": [some_list[0]], "b": other_name}\n'
    return {
        "prose": _chat(size, prose * 28),
        "many scripts": _chat(size, other * 40),
        "many scripts, escaped": _chat(size, other * 40, ensure_ascii=True),
        "source code": _chat(size, code * 28),
        "short messages": _chat(size, "Yes."),
        "indented": _chat(size, prose * 28, indent=2),
        "one long text": _chat(size, prose * (size // len(prose))),
        "tools": _chat(0, "", tools=[_tool(at) for at in range(size // 512)]),
    }


def _chat(size: int, said: str, **more: Any) -> bytes:
    spelled = {key: more.pop(key) for key in ("indent", "ensure_ascii") if key in more}
    count = max(1, size // (len(json.dumps(said, ensure_ascii=False).encode()) + 32))
    shown = [{"type": "text", "text": "What?"}, {"image_url": {"url": new_media_id()}}]
    messages = [{"role": "user", "content": text} for text in [*[said] * count, shown]]
    request = {"model": "jan-v2-30b", **more, "messages": messages, "stream": True}
    return json.dumps(request, **{"ensure_ascii": False, **spelled}).encode()


def _tool(at: int) -> dict[str, Any]:
    parameter = {"type": "string", "description": "What is asked for, in a few words."}
    schema = {
        "type": "object",
        "properties": {f"parameter_{number}": parameter for number in range(3)},
        "required": ["parameter_0"],
    }
    described = "Looks something up where it is kept, and says what was found."
    function = {"name": f"look_up_{at}", "description": described, "parameters": schema}
    return {"type": "function", "function": function}


def _of_kind(body: bytes) -> list[tuple[str, Work]]:
    return [("rewritten", _rewriting(body)), ("json.loads", lambda: json.loads(body))]


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


def _result(
    spreads: dict[str, Spread], sizes: list[int], counts: list[int], kinds: dict[str, bytes]
) -> Result:
    names = [name.partition("|")[0] for name in spreads if name.endswith(f"|{sizes[0]}")]
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
    kind = Table(
        ["chat full of", "bytes", "µs", "ns/byte", "json.loads, ns/byte"],
        [
            [
                name,
                f"{len(body):,}",
                f"{spreads[f'{name}|rewritten'].median * 1e6:,.0f}",
                f"{spreads[f'{name}|rewritten'].median / len(body) * 1e9:.2f}",
                f"{spreads[f'{name}|json.loads'].median / len(body) * 1e9:.2f}",
            ]
            for name, body in kinds.items()
        ],
        "One id at the end of chats of other kinds.",
    )
    figures = {
        "by_size": {
            name: {str(size): spread.as_json() for size, spread in series.items()}
            for name, series in sized.items()
        },
        "by_ids": {str(count): spreads[str(count)].as_json() for count in counts},
        "by_kind": {
            name: {
                "bytes": len(body),
                "rewritten": spreads[f"{name}|rewritten"].as_json(),
                "json.loads": spreads[f"{name}|json.loads"].as_json(),
            }
            for name, body in kinds.items()
        },
    }
    return Result("rewrite", [whole, slope, kind, ids], figures)


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
