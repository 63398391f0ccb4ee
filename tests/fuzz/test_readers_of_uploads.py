"""The readers of uploads against simple readers of the whole: same verdict, same bytes."""

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jan_media.errors import Refused

from tests.fuzz.readers import data_url, form, upload_body
from tests.support.fuzzing import examples
from tests.support.upload_bodies import AnyJson

LIMIT = 64
pieces_of = st.integers(1, 40)


# --- data URLs

near_data_urls = st.builds(
    lambda head, body: head + body,
    st.sampled_from(
        [
            *(b"data:image/png;base64,", b"DATA:;BASE64,", b"data:a/b;c=d; base64 ,", b""),
            *(b"data:base64,", b"data:,", b"data:x;base64;q,", b"data", b"data:\xff;base64,"),
        ]
    ),
    st.lists(
        st.one_of(
            st.binary(max_size=30).map(base64.b64encode),
            st.sampled_from([b"=", b"==", b" ", b"\n", b"\xa0", b"-_", b"A", b"AA", b"AAA", b","]),
        ),
        max_size=6,
    ).map(b"".join),
)


@given(near_data_urls, pieces_of)
@settings(max_examples=examples(300), deadline=None)
def test_a_data_url_means_the_same_in_pieces_as_in_one(text: bytes, size: int) -> None:
    data_url.assert_same_in_pieces_as_in_one(text, size)


@given(near_data_urls, pieces_of, st.integers(1, LIMIT))
@settings(max_examples=examples(200), deadline=None)
def test_a_data_url_never_gives_more_than_its_limit(text: bytes, size: int, limit: int) -> None:
    data_url.assert_never_more_than(limit, text, size)


# --- JSON bodies

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["source", "data_url", "type", "x", ""]), inner)
    ),
    max_leaves=8,
)
sources = st.fixed_dictionaries(
    {}, optional={"type": json_values, "url": json_values, "data_url": st.text(max_size=40)}
)
upload_bodies = st.fixed_dictionaries({}, optional={"source": sources, "user_id": json_values})


@given(upload_bodies, pieces_of, st.booleans(), st.sampled_from([None, 1]))
@settings(max_examples=examples(300), deadline=None)
def test_an_upload_body_is_read_as_json_reads_it(
    document: dict[str, Any], size: int, ascii_only: bool, indent: int | None
) -> None:
    written = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    body = written.encode("utf-8", "surrogatepass")
    assert upload_body.read(body, size) == document
    upload_body.assert_read_as_json(body, size)


@given(upload_bodies, pieces_of, st.data())
@settings(max_examples=examples(300), deadline=None)
def test_a_damaged_upload_body_is_refused_or_is_json(
    document: dict[str, Any], size: int, data: st.DataObject
) -> None:
    body = bytearray(json.dumps(document).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from(
                [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\xff", b"\x00", b"1"]
            )
        )
    upload_body.assert_read_as_json(bytes(body), size)


# --- forms


@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    b"--b\r\n",
                    b"\r\n--b--",
                    b"\r\n--b\r\n",
                    b"\r\n",
                    b"--b",
                    b"x" * 30,
                    b"\xff\x00",
                ),
                b'Content-Disposition: form-data; name="file"\r\n\r\n',
                b'Content-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n',
                b'Content-Disposition: form-data; name="user_id"\r\n\r\n',
                b"Content-Disposition: form-data; name*=utf-8''file\r\n\r\n",
                *(b"Content-Type: image/png\r\n", b"Content-Transfer-Encoding: base64\r\n"),
            ]
        ),
        max_size=14,
    ).map(b"".join),
    pieces_of,
)
@example(2 * b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n\r\n' + b"--b--", 1)
@settings(max_examples=examples(300), deadline=None)
def test_a_form_that_is_taken_means_the_same_in_pieces_as_in_one(body: bytes, size: int) -> None:
    form.assert_same_in_pieces_as_in_one(form.PLAIN, body, size)
    form.assert_holds_what_stands_there(body)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":[', b'{"source":{"data_url":['])
def test_nesting_without_an_end_is_refused_soon(opening: bytes) -> None:
    with pytest.raises(Refused, match="more than 65536 bytes"):
        AnyJson().feed(opening * 70_000)
