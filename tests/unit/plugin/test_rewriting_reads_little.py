"""A few bytes tell where the ids of usual bodies stand; and no body costs beyond reason."""

import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jan_media_plugin.config import Schema
from jan_media_plugin.rewrite import candidates, enclosing, shortening
from jan_media_plugin.rewrite import walk as walk_module
from jan_media_plugin.rewrite.candidates import Found
from jan_media_plugin.rewrite.edits import Edit, apply_edits
from jan_media_plugin.rewrite.find import TooComplex, find_media
from jan_media_plugin.rewrite.places import Places
from jan_media_plugin.rewrite.walk import MAX_STEPS, only_at_places, walk
from jan_media_plugin.rewrite.well_formed import end_of_first, is_json

from tests.support.fuzzing import examples
from tests.unit.plugin import slow_rewrite
from tests.unit.plugin.bodies import ID, NEVER, WHERE, bodies, damaged_bodies, texts_of_json

PLACES = Places(WHERE, NEVER)
URL = "https://media.example/files/x"
MARK = ID.encode()


def rewrite(body: bytes) -> bytes:
    return apply_edits(body, [Edit(one.start, one.end, URL) for one in find_media(body, PLACES)])


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    """A list of objects that mostly begin alike, as messages and tools do; sometimes damaged."""
    beginning = draw(st.sampled_from(['{"role":', '{"role": ', '{ "content":']))
    separator = draw(st.sampled_from([",", ", ", ",\n  "]))
    texts = st.sampled_from(
        ['"user"', '"\\\\"', '"a\\"b"', '",{\\"role\\":"', '"' + "x" * 40 + '"', f'"{ID}"', "1"]
    )
    elements = [
        f'{beginning}{draw(texts)},"content":{draw(texts_of_json)}}}'
        for _ in range(draw(st.integers(1, 6)))
    ]
    text = f'{{"a":1,"messages":[{separator.join(elements)}],"image_url":{draw(texts_of_json)}}}'
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at = draw(st.integers(0, len(text)))
        piece = draw(
            st.sampled_from(["", '"', "\\", ",", "}", "]", "[", '\\{"role":1},{"role":', "\x01"])
        )
        text = text[:at] + piece + text[at + draw(st.integers(0, 3)) :]
    return text.encode()


@given(
    st.one_of(conversations(), bodies(), damaged_bodies()),
    st.sampled_from([1, 16, 4096]),
    st.sampled_from([8, 20, 256]),
    st.sampled_from([0, 1, 16]),
    st.sampled_from([1, 7, 100]),
)
@settings(max_examples=examples(60), deadline=None)
def test_however_few_bytes_are_looked_at_it_is_rewritten_as_the_reference_does(
    body: bytes, long: int, near: int, barriers: int, window: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shortening, "_LONG", long)
        patch.setattr(enclosing, "_NEAREST", near // 2)
        patch.setattr(enclosing, "_NEAR", near)
        patch.setattr(enclosing, "_MOST_BARRIERS", barriers)
        patch.setattr(candidates, "_WINDOW", window)
        assert rewrite(body) == slow_rewrite.rewrite(body, WHERE, NEVER, URL)


@given(st.one_of(conversations(), bodies(), damaged_bodies()))
@settings(max_examples=examples(60), deadline=None)
def test_the_walk_and_the_bytes_before_an_id_tell_the_same(body: bytes) -> None:
    assume(_is_text(body) and is_json(body))  # others are walked
    ids = candidates.candidates(body, MAX_STEPS)
    told = told_of(body, ids, PLACES)
    walked = walk(body, ids, by_runs=True)
    assert told is None or told == [one for one, _ in only_at_places(walked, PLACES)]


def told_of(body: bytes, ids: list[Found], places: Places) -> list[Found] | None:
    told = enclosing.at_places(body, [one.start - 1 for one in ids], places)
    return None if told is None else [one for one, at in zip(ids, told, strict=True) if at]


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize(
    ("before", "told"),
    [
        (b'{"a":{"image_url":', True),
        (b'{"image_url":{"detail":"low","a":-1.5e+3,"b" : null , "url" :\n', True),
        (b'{"metadata":{},"a":"metadata","image_url":', True),
        (b'{"metadata":{"a":[{}]},"a":"content","b":[{"input":{}}],"image_url":', True),
        (b'\xef\xbb\xbf {"model":"m","input":[{"image_url":', True),
        ('{"ä":{"image_url":'.encode(), True),
        (b'{"a":"\\u00e9\\n\\u003c\\"","image_url":', True),
        (b'{"metadata":{"image_url":', False),
        (b'{"a" : {},"image_url":', False),
        (b'{"metadata": {} , "a": [] , "image_url":', True),
        (b'{"m\\u0065tadata":{"image_url":', False),
        (b'{"content":[{"a":{},"input":{"image_url":', False),
        (b'{"a":{"input":{"image_url":', False),
        (b'{"i\\u006dage_url":', False),
        (b'{"a\\"image_url":', False),
        (b'{"image_url":{"a":{},"url":', False),
        (b'{"image_url":[', False),
        (b"[", False),
    ],
)
def test_what_it_takes_for_the_bytes_before_an_id_to_tell(before: bytes, told: bool) -> None:
    body = before + b'"%b"' % MARK
    ids = candidates.candidates(body, MAX_STEPS)
    assert len(ids) == 1
    assert told_of(body, ids, PLACES) == (ids if told else None)


@pytest.mark.parametrize("half", [b"\\ud83d", b"\\uDE00", b"\\\\\\ud800"])
def test_half_a_pair_as_javascript_escapes_it_is_json(half: bytes) -> None:
    body = b'{"a":"%b","image_url":"%b"}' % (half, MARK)
    assert is_json(body)
    assert len(find_media(body, PLACES)) == 1
    assert not is_json(body.replace(b"\\u", b"\\u-"))


@pytest.mark.parametrize("key", ["größe", "a/b", 'a"b', "a&b", ""])
def test_below_a_key_that_has_more_than_one_spelling_nothing_is_told(key: str) -> None:
    body = b'{"image_url":"%b"}' % MARK
    ids = candidates.candidates(body, MAX_STEPS)
    assert told_of(body, ids, Places(WHERE, [key or "/"])) is None
    assert told_of(body, ids, Places(WHERE, [])) == ids


def test_a_quote_at_the_edge_of_what_is_looked_at_may_be_an_escaped_one() -> None:
    """The key here is no image_url, though it looks so as far as is looked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(enclosing, "_NEAR", len('"image_url":'))
        body = b'{"a\\"image_url":"%b"}' % MARK
        assert find_media(body, PLACES) == []


@pytest.mark.parametrize(
    ("text", "end"),
    [
        (b'{"a":[1]} ,"b":', 10),
        (b'[],"', 2),
        (b"[1] ", 4),
        (b'{"a":[1],"b":', None),
        (b"[1,", None),
    ],
)
def test_msgspec_says_in_its_error_where_a_value_is_over(text: bytes, end: int | None) -> None:
    assert end_of_first(text) == end


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **more}


SHOWN = {"role": "user", "content": [{"type": "text", "text": "What?"}, {"image_url": {"url": ID}}]}
PROSE = 'He said "no", twice.\nWhy? größer 好 {"a": [1]} \\ '
CHATS: dict[str, Any] = {
    "prose": [*[said(PROSE * 40)] * 200, SHOWN],
    "prose after the id": [SHOWN, *[said(PROSE * 40)] * 200],
    "ids all along": [*[said(PROSE * 400), SHOWN] * 20],
    "short messages": [*[said("Hi.")] * 20_000, SHOWN],
    "an inline image": [said("", image_url="data:image/png;base64," + "A" * 2_000_000), SHOWN],
    "long texts": [*[said("x" * 300_000)] * 5, SHOWN],
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"tool_{at}",
            "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
        },
    }
    for at in range(1000)
]


DEFAULTS = {name: kind for field in Schema for name, kind in field.items()}
USUAL = Places(DEFAULTS["places"]["default"], DEFAULTS["never_below"]["default"])


@pytest.mark.parametrize("name", CHATS)
@pytest.mark.parametrize("more", [{}, {"tools": TOOLS}, {"metadata": {"a": "b"}}])
@pytest.mark.parametrize("messages", ["messages", "input"])
@pytest.mark.parametrize(
    "spelled", [{}, {"separators": (",", ":")}, {"indent": 2}, {"ensure_ascii": False}]
)
def test_the_bytes_before_the_ids_of_a_long_chat_tell(
    name: str, more: dict[str, Any], messages: str, spelled: dict[str, Any]
) -> None:
    body = json.dumps({"model": "m", messages: CHATS[name], **more}, **spelled).encode()
    ids = candidates.candidates(body, MAX_STEPS)
    assert len(ids) == body.count(MARK)
    assert is_json(body)
    assert told_of(body, ids, USUAL) == ids


@pytest.mark.parametrize("name", CHATS)
def test_the_bytes_before_the_ids_of_a_long_chat_tell_with_tools_before_it(name: str) -> None:
    body = json.dumps({"model": "m", "tools": TOOLS, "messages": CHATS[name]}).encode()
    ids = candidates.candidates(body, MAX_STEPS)
    assert told_of(body, ids, USUAL) == ids


@pytest.mark.parametrize(
    "run",
    [
        b'{"role":1},{"role":"\x01"}',
        b'{"role":1},{"role":"\\x"}',
        b'{"role":1},{"role":01}',
        b'{"role":1}{"role":1}',
        b'{"role":1},,{"role":1}',
        b'{"role":1}],{"role":1}',
        b'\\{"role":1},{"role":1}',
        b'"\\{"role":1},{"role":1}',
    ],
)
def test_what_is_malformed_far_from_an_id_makes_the_whole_no_json(run: bytes) -> None:
    some = b'{"role":"' + b"x" * 100 + b'"},'
    frame = b'{"messages":[%b%b,%b{"image_url":"%b"}]}'
    assert len(find_media(frame % (some * 500, b"1", some * 500, MARK), PLACES)) == 1
    assert find_media(frame % (some * 500, run, some * 500, MARK), PLACES) == []


@pytest.mark.parametrize(
    "between", [b"", b" ", b"\n" * 200, b",\x0c", b",\x0b", b",,", b"1", b",1"]
)
def test_what_is_malformed_where_elements_are_left_out_makes_the_whole_no_json(
    between: bytes,
) -> None:
    some = b'{"role":"' + b"x" * 100 + b'"},'
    frame = b'{"messages":[%b{"role":1}%b{"role":1,"image_url":"%b"}]}'
    assert len(find_media(frame % (some * 500, b" , ", MARK), PLACES)) == 1
    assert find_media(frame % (some * 500, between, MARK), PLACES) == []


def test_what_looks_like_elements_is_left_out_of_no_string() -> None:
    """Where the strings are and what is between them changes places here without the element."""
    element = b'{",":1,"is":"%b"},' % (b"x" * 5000)
    frame = b'["[%b{",":",{"image_url":"%b"}]'
    assert len(find_media(frame % (b"", MARK), PLACES)) == 1
    assert find_media(frame % (element, MARK), PLACES) == []


END = b'{"image_url":"%b"}' % MARK
Hostile = Callable[[int], bytes]


def _elements(element: bytes) -> Hostile:
    return lambda size: b"[" + element * (size // len(element)) + END + b"]"


def _text(piece: bytes) -> Hostile:
    return lambda size: b'["' + piece * (size // len(piece)) + b'",' + END + b"]"


HOSTILE: dict[str, Hostile] = {
    **{
        f"elements {element[:20]!r}": _elements(element)
        for element in [
            *(
                b"[],",
                b"{},",
                b"0,",
                b"1,",
                b"0.1,",
                b"1e1,",
                b'"",',
                b'"ab",',
                b"1" * 4000 + b",",
                b" ",
            ),
            *(
                b"[[[[[[]]]]]],",
                b'{"role":1},',
                b'{"role":[{"role":1},{"role":2}]},',
                b'[{"a":1}],',
            ),
            *(b'{"role":1}},{"role":[1],', b'{"role":{"role":%b}}{,' % (b"1" * 4000)),
            *(b'"jan_0",', b'"\\u006a",', b'"%b",' % MARK, END + b",", b'"\\ud800",', b'"\xff",'),
            *(b"[" * 300 + b"]" * 300 + b",", b"[" * 900 + b"]" * 900 + b",", b"[" * 600),
            *('"好好",'.encode(), b'"%b",' % (b"a" * 4090), b'{"a":"%b\x01"},' % (b"a" * 9000)),
            b'"%b",{"role":"%b"},{"role":"y"},' % (MARK, b"x" * 9000),
        ]
    },
    **{
        f"text of {piece!r}": _text(piece)
        for piece in [
            *(b'\\"', b"\\\\", b'\\\\\\"', b"_", b"jan_", b"jan_0", b"\\u006a", b"\\u006a-"),
            *(b":[", b'\\":[', b"\\u0041-", b"\\u0041\\u0041-", b"jan_" + b"\\u0030" * 25),
            *(b"\\u00e9", b",", b'\\"%b\\"' % MARK, b"jan_0000000000000000000000000 "),
        ]
    },
    "members": lambda size: b"{" + b'"a":"b",' * (size // 8) + END[1:],
    "members of ids": lambda size: b"{" + (END[1:-1] + b",") * (size // 46) + b'"a":1}',
    "members of many keys": lambda size: (
        b"{" + b"".join(b'"%d":1,' % at for at in range(size // 9)) + END[1:]
    ),
    "a long key": lambda size: b'{"%b":1,' % (b"\\\\" * (size // 2)) + END[1:],
    "half a pair in a long text": lambda size: (
        b'["\\ud800%b",' % (b"\\n" * (size // 2)) + END + b"]"
    ),
    "malformed at its end": lambda size: _elements(b'{"role":"x"},')(size) + b"x",
}


@pytest.mark.parametrize("key", [b"k", b"\\u006b"])
def test_each_key_on_the_way_to_many_ids_is_looked_at_once(
    key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their number times the depth was half a minute for 3 MB."""
    looked_at = Mock(return_value="k")
    monkeypatch.setattr(walk_module, "unescaped", looked_at)
    ids = b",".join([b'["%b"]' % MARK] * 1000)
    body = b'{"%b":' % key * 400 + b"[%b]" % ids + b"}" * 400
    assert find_media(body, PLACES) == []
    assert looked_at.call_count == 400


def _seconds(body: bytes) -> float:
    taken = []
    for _ in range(2):
        start = time.process_time()
        _find(body)
        taken.append(time.process_time() - start)
    return min(taken)


def _find(body: bytes) -> None:
    try:
        find_media(body, PLACES)
    except TooComplex:
        return


@pytest.mark.parametrize("shape", HOSTILE)
def test_no_body_takes_time_beyond_its_length(shape: str) -> None:
    # Were it the square, 8 times the length would take 64 times as long.
    small, large = (_seconds(HOSTILE[shape](size)) for size in (150_000, 8 * 150_000))
    assert large < 24 * max(small, 2e-4)


@pytest.mark.parametrize("shape", HOSTILE)
def test_no_body_takes_many_times_its_room(shape: str) -> None:
    body = HOSTILE[shape](500_000)
    tracemalloc.start()
    try:
        _find(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(body) + 600 * body.count(MARK) + 2_000_000
