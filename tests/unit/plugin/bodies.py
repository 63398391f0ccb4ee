"""Bodies for tests of rewriting: JSON in any spelling, and almost JSON."""

import json

from hypothesis import strategies as st

ID = "jan_01hqr8v9k2x3f4g5h6j7k8m9n0"
OTHER_ID = "jan_7zzzzzzzzzzzzzzzzzzzzzzzzz"
WHERE = ["image_url.url", "image_url", "source.url", "messages[].file"]
NEVER = ["metadata", "content.input"]

_spaces = st.sampled_from(["", "", "", " ", "\n  ", "\t", "\r\n"])


# How a string is spelled is drawn at once, for all of its characters: a draw for each of 5,000 of
# them would take longer than all that is tried with it.
_escape = st.sampled_from(["\\u%04x", "\\u%04X"])
_escaped_at = st.one_of(
    st.just(range(0)),
    st.just(range(0)),
    st.lists(st.integers(0, 30), min_size=1, max_size=4),
    st.just(range(10_000)),
)


@st.composite
def _spelled(draw: st.DrawFn, text: str) -> str:
    """``text`` as a JSON string, some of its characters as escapes."""
    at, escapes = draw(_escaped_at), draw(st.lists(_escape, min_size=1, max_size=2))
    slash, ascii_until = draw(st.sampled_from(["/", "\\/"])), draw(st.sampled_from([0, 3, 10_000]))
    pieces = []
    for index, character in enumerate(text):
        if index in at and ord(character) < 0x10000:
            pieces.append(escapes[index % len(escapes)] % ord(character))
        elif character == "/":
            pieces.append(slash)
        else:
            pieces.append(json.dumps(character, ensure_ascii=index < ascii_until)[1:-1])
    return '"' + "".join(pieces) + '"'


_ids = st.sampled_from([ID, OTHER_ID]).flatmap(
    lambda media_id: st.sampled_from([media_id, media_id.upper(), media_id.title()])
)
_look_alikes = st.sampled_from(
    [
        f"see {ID}",
        f" {ID}",
        f"{ID} ",
        ID[:-1],
        ID + "0",
        "jan_81hqr8v9k2x3f4g5h6j7k8m9n0",
        "jan_01hqr8v9k2x3f4g5h6j7k8m9nu",
        f'{{"image_url": {{"url": "{ID}"}}}}',
        f'"{ID}"',
        f"data:image/png;base64,{ID}",
        "jan_",
        "ſan_01hqr8v9k2x3f4g5h6j7k8m9n0",
        "jan_01hqr8v9K2x3f4g5h6j7k8m9n0",
    ]
)
_texts = st.one_of(
    _ids,
    _ids.map(lambda media_id: f"data:image/png;{media_id}"),
    _look_alikes,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(
        [
            "A" * 5000,
            "ü" * 700,
            "x\\" * 300,
            "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
        ]
    ),
)
_keys = st.sampled_from(
    ["image_url", "url", "source", "messages", "content", "metadata", "input", "file", ID, "", "k"]
)
_numbers = st.sampled_from(
    ["0", "-0", "1.5e300", "1" * 400, "-0.000", "1E+2", "12345678901234567890"]
)
_scalars = st.one_of(_texts.flatmap(_spelled), _numbers, st.sampled_from(["true", "false", "null"]))


def _containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(_arrays(inner), _objects(inner), _media_parts())


@st.composite
def _arrays(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    items = draw(st.lists(inner, max_size=4))
    return (
        "[" + draw(_spaces) + f"{draw(_spaces)},{draw(_spaces)}".join(items) + draw(_spaces) + "]"
    )


@st.composite
def _objects(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    members = [
        f"{draw(_spelled(key))}{draw(_spaces)}:{draw(_spaces)}{draw(inner)}"
        for key in draw(st.lists(_keys, max_size=5))
    ]
    return (
        "{" + draw(_spaces) + f"{draw(_spaces)},{draw(_spaces)}".join(members) + draw(_spaces) + "}"
    )


@st.composite
def _media_parts(draw: st.DrawFn) -> str:
    spelled = draw(_ids.flatmap(_spelled))
    return draw(
        st.sampled_from(
            [
                f'{{"type":"image_url","image_url":{{"url":{spelled}, "detail": "low"}}}}',
                f'{{"image_url" : {spelled}}}',
                f'{{"type":"text","text":{spelled}}}',
                f'{{"source":{{"type":"url","url":{spelled},"url":{spelled}}}}}',
                f'{{"content":[{{"input":{{"image_url":{spelled}}}}}]}}',
            ]
        )
    )


texts_of_json = st.recursive(_scalars, _containers, max_leaves=25)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A JSON body, sometimes with a byte order mark or white space around it."""
    text = draw(st.sampled_from(["", "", " \n", "\ufeff"])) + draw(texts_of_json) + draw(_spaces)
    return text.encode()


@st.composite
def damaged_bodies(draw: st.DrawFn) -> bytes:
    """A JSON body with a few bytes changed, lost or put in: mostly not JSON any more."""
    body = bytearray(draw(bodies()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        piece = draw(
            st.sampled_from(
                [
                    *(
                        b"",
                        b'"',
                        b"\\",
                        b",",
                        b"}",
                        b"]",
                        b"{",
                        b"[",
                        b":",
                        b"\x00",
                        b"\n",
                        b"\xff",
                    ),
                    *(b"\xc3", b"NaN", b"01", b"'", b"/**/", b"\xef\xbb\xbf", b"1."),
                ]
            )
        )
        body[at : at + draw(st.integers(0, 3))] = piece
    return bytes(body)
