"""Reading an upload's JSON body with its data URL streamed out of it."""

import itertools
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jan_media.api import json_body
from jan_media.api.json_body import JsonBody
from jan_media.errors import ContentTooLarge, Refused

from tests.support.upload_bodies import AnyJson, a_spool, request_of

URL = "data:image/png;base64,QUJD"
STREAMED = "what has been streamed, or might have been"


def read(body: bytes, cuts: list[int] | None = None) -> tuple[dict[str, Any], bytes | None]:
    """The document, and its data URL, which is streamed if it is long (None: it has none)."""
    reader = AnyJson()
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts or [])})
    for start, stop in itertools.pairwise(places):
        reader.feed(body[start:stop])
    document = reader.document()
    source = document.get("source")
    found = source.get("data_url") if isinstance(source, dict) else None
    if not isinstance(source, dict) or not isinstance(found, str):
        return document, None
    assert reader.streamed or not reader.taken
    source["data_url"] = STREAMED
    whole = bytes(reader.taken) if reader.streamed else found.encode("utf-8", "surrogatepass")
    return document, whole


def every_byte(body: bytes) -> tuple[dict[str, Any], bytes | None]:
    return read(body, list(range(len(body))))


# --- where the string may stand


@pytest.mark.parametrize(
    "body",
    [
        {"source": {"type": "data_url", "data_url": URL}, "user_id": "u"},
        {"user_id": "u", "source": {"data_url": URL, "type": "data_url"}},
        {"a": {"source": {"data_url": "not this"}}, "source": {"x": [1, {}], "data_url": URL}},
        {"a": [{"data_url": "not this"}], "source": {"y": {"data_url": "nor"}, "data_url": URL}},
        {"data_url": "not this", "source": {"data_url": URL}, "b": None},
        {"source": {"a,b:{": '}],"', "data_url": URL}},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_source_data_url_is_streamed_wherever_it_stands(
    body: dict[str, Any], indent: int | None
) -> None:
    document, streamed = every_byte(json.dumps(body, indent=indent).encode())
    assert streamed == URL.encode()
    assert document["source"]["data_url"] == STREAMED
    document["source"]["data_url"] = URL
    assert document == body


@pytest.mark.parametrize(
    "body",
    [
        {"data_url": URL},
        {"source": {"x": {"data_url": URL}}},
        {"source": [{"data_url": URL}]},
        {"source": [[], {"data_url": URL}]},
        {"x": {"source": {"data_url": URL}}},
        {"x": {"data_url": URL}},
        {"source": {"data_url": [URL]}},
        {"source": {"data_url": {"data_url": URL}}},
        {"source": {"data_url": None}},
        {"source": {"data_url": 7}},
        {"source": {"data_url ": URL}},
        {"source": {"x": "data_url", "y": URL}},
        {"source": {"Data_url": URL}},
        {"source": "data_url", "data_url": URL},
        {},
    ],
)
def test_no_other_string_is_streamed(body: dict[str, Any]) -> None:
    assert every_byte(json.dumps(body).encode()) == (body, None)


def test_keys_may_be_written_with_escapes() -> None:
    body = b'{"\\u0073ource": {"dat\\u0061_url": "abc"}}'
    assert every_byte(body) == ({"source": {"data_url": STREAMED}}, b"abc")


def test_an_empty_string_is_streamed_as_nothing() -> None:
    assert read(b'{"source": {"data_url": ""}}') == ({"source": {"data_url": STREAMED}}, b"")


def test_escapes_in_the_string_are_undone() -> None:
    string = rb"data:image\/png;base64,\u0051UJ\u002b\\\"\n\u00e9\ud83d\ude00"
    body = b'{"source": {"data_url": "' + string + b'"}}'
    assert every_byte(body)[1] == 'data:image/png;base64,QUJ+\\"\né😀'.encode()


def test_half_a_surrogate_pair_is_as_good_as_any_character() -> None:
    url = rb"\ud83dx\ude00\ud83d\ud83d\ude00\ud83d"
    document, streamed = every_byte(
        rb'{"a": "\ud83d", "\ude00": 1, "source": {"data_url": "%s"}}' % url
    )
    assert streamed == "\ud83dx\ude00\ud83d😀\ud83d".encode("utf-8", "surrogatepass")
    assert (document["a"], document["\ude00"]) == ("\ud83d", 1)


def test_a_byte_order_mark_is_passed_over() -> None:
    assert every_byte(b'\xef\xbb\xbf {"source": {"data_url": "x"}}')[1] == b"x"


# --- equal to the standard parser

_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
_NO_SURROGATES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_KEYS = st.sampled_from(["source", "data_url", "type", "user_id"]) | _NO_SURROGATES
_VALUES = st.recursive(
    _SCALARS | _NO_SURROGATES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(_KEYS, _VALUES | st.dictionaries(_KEYS, _VALUES, max_size=3), max_size=4),
    st.sampled_from([None, 0, 3]),
    st.booleans(),
    st.lists(st.integers(0, 10_000), max_size=12),
)
def test_any_document_in_any_pieces_is_what_the_standard_parser_reads(
    body: dict[str, Any], indent: int | None, ascii_only: bool, cuts: list[int]
) -> None:
    raw = json.dumps(body, indent=indent, ensure_ascii=ascii_only).encode()
    document, streamed = read(raw, cuts)
    if streamed is not None:
        document["source"]["data_url"] = streamed.decode("utf-8", "surrogatepass")
    assert document == json.loads(raw) == body


_LONG = st.lists(
    st.sampled_from(["A" * 700, "é", "/", '"', "\\", "\n", "u00", "\ud83d", "x"]), max_size=40
).map("".join)


@given(_LONG, st.booleans(), st.booleans(), st.lists(st.integers(0, 40_000), max_size=12))
def test_a_long_string_in_any_pieces_is_the_same(
    url: str, escaped: bool, first: bool, cuts: list[int]
) -> None:
    pair = [f'"data_url": {json.dumps(url)}', '"type": "x"'][:: 1 if first else -1]
    raw = f'{{"source": {{{", ".join(pair)}}}, "user_id": "u"}}'
    if escaped:  # as PHP writes it
        raw = raw.replace("/", r"\/")
    document, streamed = read(raw.encode(), cuts)
    assert streamed is not None
    assert streamed.decode("utf-8", "surrogatepass") == url
    assert (document["user_id"], document["source"]["type"]) == ("u", "x")


@pytest.mark.parametrize(
    "body",
    [
        b'{"data_url": "%s"}',
        b'{"x": {"data_url": "%s"}, "source": {"data_url": "y"}}',
        b'{"source": {"data_url": ["y"], "x": {"data_url": "%s"}}}',
        b'{"source": {"data_url": "%s"}, "x": {"data_url": "%s"}}',
    ],
)
def test_a_long_string_elsewhere_is_too_much(body: bytes) -> None:
    with pytest.raises(Refused, match="besides its data URL"):
        read(body.replace(b"%s", b"x" * 120_000))


_FRAGMENTS = [*'{}[],:"\\/ue0dD8cC \n1-tnaé', "\\u", "\\ud83d", "data_url", '"source":{']


@given(
    st.lists(st.sampled_from(_FRAGMENTS), max_size=30).map("".join),
    st.lists(st.integers(0, 10_000), max_size=8),
)
def test_broken_documents_are_refused_as_the_standard_parser_does(
    text: str, cuts: list[int]
) -> None:
    for raw in (text.encode(), f'{{"source": {{"data_url": "{text}"}}}}'.encode()):
        try:
            document, streamed = read(raw, cuts)
        except Refused:
            continue
        if streamed is not None:
            document["source"]["data_url"] = streamed.decode("utf-8", "surrogatepass")
        assert json.loads(raw) == document


# --- what is refused


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"null",
        b"7",
        b'"x"',
        b"[]",
        b'[{"source": {"data_url": "x"}}]',
        b"{",
        b"{}{}",
        b"{} x",
        b"{}]",
        b'{"a": 1,}',
        b'{"a" 1}',
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"b": {"a": 1, "a": 2}}',
        b'{"source": {"data_url": "x", "data_url": "y"}}',
        b'{"source": {"data_url": "x"}, "source": {"data_url": "y"}}',
        b'{"source": {"data_url": "x"}, "source": {}}',
        b'{"source": {"data_url": "x", "data_url": 1}}',
        b'{"source": {"data_url": "x" "y"}}',
        b'{"source": {"data_url" "y"}}',
        b'{"source": {"data_url": "x',
        b'{"source": {"data_url": "x\\',
        b'{"source": {"data_url": "x\\u00',
        b'{"source": {"data_url": "x\\q"}}',
        b'{"source": {"data_url": "x\\u00zz"}}',
        b'{"source": {"data_url": "x\n"}}',
        b'{"source": {"data_url": "x\0"}}',
        b'{"source": {"data_url": "\xff"}}',
        b'{"source": {"data_url": "\xc3"}}',
        b'{"source": {"data_url": "x"}, "\xff": 1}',
        b'{"a": "\xed\xa0\xbd"}',
        b'{"a": "b\tc"}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": ' + b"9" * 10_000 + b"}",
    ],
)
def test_what_is_no_plain_json_object_is_refused(body: bytes) -> None:
    for cuts in ([], list(range(len(body)))):
        with pytest.raises(Refused) as refused:
            read(body, cuts)
        assert refused.value.code == "invalid_json"
        assert refused.value.message


def test_nesting_is_limited() -> None:
    assert read(b'{"a": ' + b"[" * 32 + b"]" * 32 + b"}")[1] is None
    with pytest.raises(Refused, match="nested too deep"):
        read(b'{"a": ' + b"[" * 30_000 + b"]" * 30_000 + b"}")
    with pytest.raises(Refused, match="more than 65536 bytes"):
        read(b'{"a": ' + b"[" * 1_000_000)


def test_everything_but_the_one_string_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_body, "FIELDS", 100)
    long = "x" * 5000
    assert read(json.dumps({"source": {"data_url": long}}).encode())[1] == long.encode()
    for body in (
        {"source": {"data_url": "x", "y": long}},
        {"data_url": long},
        {long: 1},
        {"source": {"data_url": [long]}},
    ):
        with pytest.raises(Refused, match="more than 100 bytes"):
            read(json.dumps(body).encode())
    with pytest.raises(Refused, match="more than 100 bytes"):
        read(b"{" + b" " * 5000 + b"}")


def test_a_string_that_is_no_good_is_refused_while_it_comes() -> None:
    for start, problem in ((b"data:;base64,", ContentTooLarge), (b"no data URL", Refused)):
        reader = JsonBody(request_of("application/json"), a_spool())
        with pytest.raises(problem) as refused:
            reader.feed(b'{"source": {"data_url": "' + start + b"AAAA" * 500_000)
        assert refused.value.param == "source.data_url"


@pytest.mark.parametrize("character", [b"A", b"\\/", b"\\u0041"])
def test_memory_does_not_grow_with_the_string(character: bytes) -> None:
    class Counting(AnyJson):
        count = 0

        def take(self, piece: bytes) -> None:
            self.count += len(piece)

    block = character * (60_000 // len(character))
    reader = Counting()
    reader.feed(b'{"source": {"data_url": "')
    tracemalloc.start()
    for _ in range(40):
        reader.feed(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    reader.feed(b'"}}')
    assert reader.document()["source"].keys() == {"data_url"}
    assert reader.count == 40 * (60_000 // len(character))
    assert peak < 1_000_000
