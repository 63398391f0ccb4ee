"""What each API's request becomes when its media are known; every other byte stays."""

import json
from typing import Any

import pytest
from jan_media_plugin.config import Schema
from jan_media_plugin.exchange import edited
from jan_media_plugin.rewrite.candidates import Kind, candidates, inline_media
from jan_media_plugin.rewrite.forms import Medium, edits_for, in_order
from jan_media_plugin.rewrite.members import Objects
from jan_media_plugin.rewrite.parsed import at_places
from jan_media_plugin.rewrite.places import Places

from tests.unit.plugin.bodies import ID

URL = "https://media.example/x.png?a=1&b=2"
BASE64 = b"iVBORw0KGgo="
INLINE = "A" * 80
DATA_URL = f"data:image/png;base64,{BASE64.decode()}"
PDF_URL = f"data:application/pdf;base64,{BASE64.decode()}"
DEFAULTS = {name: kind.get("default") for field in Schema for name, kind in field.items()}
USUAL = Places(DEFAULTS["places"], DEFAULTS["never_below"])


def rewritten(text: str, medium: Medium) -> str:
    """A body with one medium put where it is named."""
    body = text.encode()
    found = sorted([*candidates(body), *inline_media(body, 60)])
    standing = at_places(body, found, USUAL)
    objects = Objects(body)
    edits = in_order(edit for one in standing for edit in edits_for(objects, one, medium))
    return edited(body, edits).decode()


def as_url(text: str, mime: str = "image/png") -> str:
    return rewritten(text, Medium(ID, URL, mime))


def as_bytes(text: str, mime: str = "image/png") -> str:
    return rewritten(text, Medium(ID, URL, mime, BASE64))


@pytest.mark.parametrize(
    "spelled",
    [
        ID,
        ID.upper(),
        f"data:image/png;{ID}",
        f"data:image/png;base64,{ID}",
        f"data:image/*;base64,{ID}",
        f"data:image/png;name=a;base64,{ID}",
        f"data:undefined;base64,{ID}",
        f"data:;base64, {ID}",
        f"data:base64,{ID}",
        f" {ID}\\n",
        f"\u200b{ID}\ufeff\\n",
        f"http://localhost:8000/media/v1/media/{ID}/content",
        f"https://s3.example/b/k?response-content-disposition=inline%3B%20filename%3D%22{ID}.png%22",
    ],
)
def test_a_medium_goes_by_several_names(spelled: str) -> None:
    text = '{"messages":[{"content":[{"type":"image_url","image_url":{"url":"%s"}}]}]}'
    assert as_url(text % spelled) == text % URL
    assert as_bytes(text % spelled) == text % DATA_URL


@pytest.mark.parametrize(
    "text",
    [
        '{"image_url":"%s"}',
        '{"image_url": {"detail": "low", "url": "%s"}}',
        '{"input":[{"content":[{"type":"input_image","image_url":"%s"}]}]}',
        '{"video_url":{"url":"%s"},"audio_url":{"url":"%s"}}',
        '{"type":"input_file","file_url":"%s"}',
        '{"type":"document_url","document_url":"%s"}',
        '{"images":[{"image_url":"%s"}]}',
        '{"image_url":["%s"]}',
    ],
)
def test_where_a_url_stands_the_url_or_a_data_url_is_put(text: str) -> None:
    named = text.replace("%s", ID)
    assert as_url(named) == text.replace("%s", URL)
    assert as_bytes(named) == text.replace("%s", DATA_URL)


@pytest.mark.parametrize(
    ("given", "url", "put_in"),
    [
        (
            '{"images":[{"file_id":"%s"}]}',
            f'{{"images":[{{"image_url":"{URL}"}}]}}',
            f'{{"images":[{{"image_url":"{DATA_URL}"}}]}}',
        ),
        (
            '{"mask":{"file_id":"%s"}}',
            f'{{"mask":{{"image_url":"{URL}"}}}}',
            f'{{"mask":{{"image_url":"{DATA_URL}"}}}}',
        ),
        (
            '{"output":{"type":"computer_screenshot","file_id":"%s"}}',
            f'{{"output":{{"type":"computer_screenshot","image_url":"{URL}"}}}}',
            f'{{"output":{{"type":"computer_screenshot","image_url":"{DATA_URL}"}}}}',
        ),
        (
            '[{"type":"input_image", "file_id" : "%s","detail":"low"}]',
            f'[{{"type":"input_image", "image_url" : "{URL}","detail":"low"}}]',
            f'[{{"type":"input_image", "image_url" : "{DATA_URL}","detail":"low"}}]',
        ),
        (
            '{"file_id":"%s","type":"input_file"}',
            f'{{"file_url":"{URL}","type":"input_file"}}',
            f'{{"filename":"{ID}.png","file_data":"{DATA_URL}","type":"input_file"}}',
        ),
        (
            '{"type":"image","source":{"type":"file","file_id":"%s"},"cache_control":{"a":1}}',
            f'{{"type":"image","source":{{"type":"url","url":"{URL}"}},"cache_control":{{"a":1}}}}',
            '{"type":"image","source":{"type":"base64","media_type":"image/png",'
            f'"data":"{BASE64.decode()}"}},"cache_control":{{"a":1}}}}',
        ),
        (
            '{"source":{"url":"%s","type":"url"}}',
            f'{{"source":{{"url":"{URL}","type":"url"}}}}',
            f'{{"source":{{"media_type":"image/png","data":"{BASE64.decode()}","type":"base64"}}}}',
        ),
        (
            '{"type":"file","file":{"file_id":"%s"}}',
            f'{{"type":"image_url","image_url":{{"url":"{URL}"}}}}',
            f'{{"type":"image_url","image_url":{{"url":"{DATA_URL}"}}}}',
        ),
        (
            '{"fileData":{"mimeType":"image/jpeg","fileUri":"%s"}}',
            f'{{"fileData":{{"mimeType":"image/png","fileUri":"{URL}"}}}}',
            f'{{"inlineData":{{"mimeType":"image/png","data":"{BASE64.decode()}"}}}}',
        ),
        (
            '{"file_data":{"file_uri":"%s"}}',
            f'{{"file_data":{{"mime_type":"image/png","file_uri":"{URL}"}}}}',
            f'{{"inline_data":{{"mime_type":"image/png","data":"{BASE64.decode()}"}}}}',
        ),
        (
            '{"fileData":{"file_uri":"%s","mime_type":"image/jpeg"}}',
            f'{{"fileData":{{"file_uri":"{URL}","mime_type":"image/png"}}}}',
            f'{{"inlineData":{{"data":"{BASE64.decode()}","mime_type":"image/png"}}}}',
        ),
    ],
)
def test_a_file_becomes_what_carries_a_url_or_bytes_in_that_api(
    given: str, url: str, put_in: str
) -> None:
    assert as_url(given % ID) == url
    assert as_bytes(given % ID) == put_in


@pytest.mark.parametrize(
    ("given", "url", "put_in"),
    [
        (
            '{"source":{"type":"base64","media_type":"image/jpeg","data":"%s"}}',
            f'{{"source":{{"type":"url","url":"{URL}"}}}}',
            f'{{"source":{{"type":"base64","media_type":"image/png","data":"{BASE64.decode()}"}}}}',
        ),
        (
            '{"type":"base64","data":"%s"}',
            f'{{"type":"url","url":"{URL}"}}',
            f'{{"type":"base64","media_type":"image/png","data":"{BASE64.decode()}"}}',
        ),
        (
            '{"inlineData":{"mimeType":"image/jpeg","data":"%s"}}',
            f'{{"fileData":{{"mimeType":"image/png","fileUri":"{URL}"}}}}',
            f'{{"inlineData":{{"mimeType":"image/png","data":"{BASE64.decode()}"}}}}',
        ),
        (
            '{"inline_data":{"data":"%s"}}',
            f'{{"file_data":{{"mime_type":"image/png","file_uri":"{URL}"}}}}',
            f'{{"inline_data":{{"mime_type":"image/png","data":"{BASE64.decode()}"}}}}',
        ),
        (
            '{"type":"input_file","filename":"a.png","file_data":"%s"}',
            f'{{"type":"input_file","filename":"a.png","file_url":"{URL}"}}',
            f'{{"type":"input_file","filename":"a.png","file_data":"{DATA_URL}"}}',
        ),
        (
            '{"type":"file","file":{"file_data":"data:image/png;base64,%s"}}',
            f'{{"type":"image_url","image_url":{{"url":"{URL}"}}}}',
            f'{{"type":"image_url","image_url":{{"url":"{DATA_URL}"}}}}',
        ),
    ],
)
def test_a_name_may_stand_where_bytes_belong(given: str, url: str, put_in: str) -> None:
    assert as_url(given % ID) == url
    assert as_bytes(given % ID) == put_in


def test_audio_has_no_form_but_its_bytes() -> None:
    given = '{"type":"input_audio","input_audio":{"data":"%s","format":"wav"}}'
    assert as_bytes(given % ID, "audio/wav") == given % BASE64.decode()


def test_a_pdf_in_a_chat_is_put_in_with_a_name_since_it_has_no_form_with_a_url() -> None:
    given = '{"type":"file","file":{"file_id":"%s"}}'
    expected = '{"type":"file","file":{"filename":"%s.pdf","file_data":"%s"}}'
    assert as_bytes(given % ID, "application/pdf") == expected % (ID, PDF_URL)
    named = '{"type":"file","file":{"filename":"a.pdf","file_id":"%s"}}'
    expected = '{"type":"file","file":{"filename":"a.pdf","file_data":"%s"}}'
    assert as_bytes(named % ID, "application/pdf") == expected % PDF_URL


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (
            f'{{"image_url":{{"url":"data:image/png;base64,{INLINE}"}}}}',
            f'{{"image_url":{{"url":"{URL}"}}}}',
        ),
        ('{"image_url":"data:image\\/png;base64,%s"}' % ("A\\/" * 40), f'{{"image_url":"{URL}"}}'),
        (
            '{"source":{"type":"base64","media_type":"image/png","data":"' + INLINE + '"}}',
            f'{{"source":{{"type":"url","url":"{URL}"}}}}',
        ),
        (
            '{"source":{"data" : "' + INLINE + '","type":"base64","media_type":"image/png"}}',
            f'{{"source":{{"url" : "{URL}","type":"url"}}}}',
        ),
        (
            '{"parts":[{"inlineData":{"mimeType":"image/webp","data":"' + INLINE + '"}}]}',
            f'{{"parts":[{{"fileData":{{"mimeType":"image/png","fileUri":"{URL}"}}}}]}}',
        ),
        (
            '{"inline_data":{"data":"' + INLINE + '"}}',
            f'{{"file_data":{{"mime_type":"image/png","file_uri":"{URL}"}}}}',
        ),
    ],
)
def test_bytes_become_what_carries_a_url_in_that_api(given: str, stored: str) -> None:
    assert as_url(given) == stored


@pytest.mark.parametrize("filler", ["x" * 3000, 'a "quote" \\ and }]', "", "ü\n"])
def test_what_is_beside_a_file_in_its_object_stays(filler: str) -> None:
    members: dict[str, Any] = {
        filler: {"a": [filler, {"b": [1.5e3, None]}]},
        "type": "input_file",
        "n": [[], {}, "}"],
        "file_id": ID,
        "after": {"x": [filler]},
    }
    for spelled in ({"indent": 2}, {"separators": (",", ":")}):
        text = json.dumps([members], **spelled)
        expected = text.replace('"file_id"', '"file_url"').replace(ID, URL)
        assert as_url(text) == expected


def test_what_stands_elsewhere_in_a_large_body_does_not_count() -> None:
    tools = json.dumps([{"type": "function", "name": "f", "strict": True}] * 50_000)
    body = f'{{"tools":{tools},"input":[{{"type":"input_image","%s":"%s"}}],"metadata":{{}}}}'
    assert as_url(body % ("file_id", ID)) == body % ("image_url", URL)


@pytest.mark.parametrize(
    "text",
    [
        '{"file_id":"%s"}',
        '{"type":"code_interpreter","container":{"file_ids":["%s"]}}',
        '{"metadata":{"type":"input_image","file_id":"%s"}}',
        '{"source":{"type":"text","media_type":"text/plain","data":"%s"}}',
        '{"tools":[{"image_url":"%s"}]}',
        '{"messages":[{"content":"%s"}]}',
        '{"%s":"image_url"}',
        '{"content":[{"type":"tool_use","input":{"source":{"type":"url","url":"%s"}}}]}',
    ],
)
def test_a_name_at_another_place_is_left_alone(text: str) -> None:
    assert as_url(text % ID) == text % ID


@pytest.mark.parametrize(
    "text",
    [
        *("jan_1", ID + "0", "jan_" + "u" * 26, "JAN_photo.png"),
        *(f"<{ID}>", f"'{ID}'", f"`{ID}`", f"see {ID}", f"media:{ID}", f"/v1/media/{ID}/content"),
        f"data:image/png,{ID}",
    ],
)
def test_what_begins_like_an_id_or_holds_one_is_told_apart(text: str) -> None:
    (one,) = candidates(f'{{"image_url":"{text}"}}'.encode())
    assert (one.kind, one.name) == (Kind.LOOK_ALIKE, text)


@pytest.mark.parametrize(
    "text", ["see jan_1", "xjan_1", f"gs://bucket/{ID}", "http://x/jan_1", f"{'so ' * 70}{ID}"]
)
def test_what_only_holds_something_like_one_is_none(text: str) -> None:
    assert candidates(f'{{"image_url":"{text}"}}'.encode()) == []
