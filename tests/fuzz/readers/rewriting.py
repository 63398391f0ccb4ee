"""A body is rewritten as a slow reference does that parses everything; the rest stays as it is."""

import json

from jan_media_plugin.rewrite.edits import Edit, apply_edits
from jan_media_plugin.rewrite.find import TooComplex, find_media, name_place
from jan_media_plugin.rewrite.places import Places

from tests.unit.plugin import slow_rewrite
from tests.unit.plugin.bodies import ID, NEVER, OTHER_ID, WHERE

WORDS = [
    *(b'"image_url"', b'"url"', b'"source"', b'"messages"', b'"file"', b'"metadata"', b'"content"'),
    *(b'"input"', b'{"image_url":"', f'"{ID}"'.encode(), OTHER_ID.encode(), ID.upper().encode()),
    *(
        b"data:image/png;",
        b"\\u006a",
        b"\\u005F",
        b'\\"',
        b"\\\\",
        b"\xef\xbb\xbf",
        b"[1,2],",
        b"true",
    ),
    *(b"null", b"-0.5e+1", b'{"a":"b"},', b"[[[[", b"]]]]", b"x" * 64, b"\xc3\xbc", b"NaN", b"01"),
]
URL = "https://media.example/files/x?a=1&b=2"
PLACES = Places(WHERE, NEVER)


def rewrite(body: bytes) -> bytes:
    edits = [Edit(found.start, found.end, URL) for found in find_media(body, PLACES)]
    return apply_edits(body, edits)


def assert_rewritten_as_the_reference_does(body: bytes) -> None:
    assert rewrite(body) == slow_rewrite.rewrite(body, WHERE, NEVER, URL)


def assert_found_and_named_as_the_reference_does(body: bytes) -> None:
    expected = list(slow_rewrite.find(body, WHERE, NEVER))
    found = find_media(body, PLACES)
    assert [(one.start, one.end, one.media_id) for one in found] == [one[:3] for one in expected]
    places = [name_place(body, PLACES, number) for number in range(len(found))]
    assert places == [one[3] for one in expected]


def assert_the_reference_takes_for_json_what_the_standard_library_takes(body: bytes) -> None:
    parser = slow_rewrite.Parser(body.decode("latin-1"))
    try:
        parser.parse()
        is_json = True
    except slow_rewrite.NotJson:
        is_json = False
    try:
        json.loads(body.decode("latin-1"), parse_constant=_refuse, parse_int=len)
        expected = True
    except ValueError:
        expected = False
    assert is_json == expected


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def check(data: bytes) -> None:
    if data.count(b"[") + data.count(b"{") > 200:
        _assert_outlived(data)
        return
    assert_rewritten_as_the_reference_does(data)
    assert_found_and_named_as_the_reference_does(data)
    assert_the_reference_takes_for_json_what_the_standard_library_takes(data)


def _assert_outlived(body: bytes) -> None:
    """The reference recurses, so nothing is said of deep bodies but that they are refused well."""
    try:
        find_media(body, PLACES)
    except TooComplex:
        assert body.count(b"[") + body.count(b"{") > 400
