"""A body is rewritten as a slow reference does that parses everything; the rest stays as it is."""

import json

import pytest
from jan_media_plugin.exchange import edited
from jan_media_plugin.rewrite.candidates import Kind, TooComplex, candidates, may_hold_id
from jan_media_plugin.rewrite.encodings import in_utf8
from jan_media_plugin.rewrite.forms import Medium, edits_for, in_order
from jan_media_plugin.rewrite.members import Objects
from jan_media_plugin.rewrite.parsed import NotJson, Standing, at_places
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
MEDIUM = Medium(ID, URL, "image/png")


def found(body: bytes) -> list[Standing]:
    """The ids at places of media, in a text in UTF-8 without a mark. Raises `NotJson`."""
    standing = at_places(body, candidates(body), PLACES)
    return [one for one in standing if one.candidate.kind is Kind.ID]


def rewrite(body: bytes) -> bytes:
    """The body with a URL in the place of each id. Raises `NotJson`."""
    standing = found(body)
    objects = Objects(body)
    edits = [edit for one in standing for edit in edits_for(objects, one, MEDIUM)]
    return edited(body, in_order(edits))


def assert_rewritten_as_the_reference_does(sent: bytes) -> None:
    body = without_mark(sent)
    if body is None or not may_hold_id(body):
        return
    try:
        expected = slow_rewrite.rewrite(body, WHERE, NEVER, URL)
    except slow_rewrite.NotJson:
        with pytest.raises(NotJson):
            rewrite(body)
    else:
        assert rewrite(body) == expected


def assert_found_and_named_as_the_reference_does(sent: bytes) -> None:
    body = without_mark(sent)
    if body is None or not candidates(body):
        return
    try:
        expected = list(slow_rewrite.find(body, WHERE, NEVER))
    except slow_rewrite.NotJson:
        return
    told = [
        (one.candidate.start, one.candidate.end, one.candidate.name, one.way.spelled())
        for one in found(body)
    ]
    assert told == expected


def without_mark(body: bytes) -> bytes | None:
    """The body as the plugin reads it; None if it is in no encoding of JSON."""
    try:
        return in_utf8(body)
    except UnicodeDecodeError:
        return None


def assert_the_reference_takes_for_json_what_the_standard_library_takes(body: bytes) -> None:
    parser = slow_rewrite.Parser(body.decode("latin-1"))
    try:
        parser.parse()
        is_json = True
    except slow_rewrite.NotJson:
        is_json = False
    try:
        json.loads(body.decode("latin-1"), strict=False, parse_int=len)
        expected = True
    except ValueError:
        expected = False
    assert is_json == expected


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
        found(body)
    except NotJson:
        return
    except TooComplex:
        assert body.count(b"[") + body.count(b"{") > 400
