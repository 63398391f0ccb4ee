"""The readers of uploads against simple readers of the whole: same verdict, same bytes."""

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jan_media.content.data_url import ContentTooLarge, DataUrlDecoder, InvalidDataUrl
from jan_media.content.json_source import STREAMED, InvalidJson, UploadBody
from jan_media.content.multipart import FormReader, InvalidForm

from tests.support.fuzzing import examples

LIMIT = 64
pieces_of = st.integers(1, 40)


def in_pieces(whole: bytes, size: int) -> list[bytes]:
    return [whole[at : at + size] for at in range(0, len(whole), size)]


# --- data URLs

_WHOLE = re.compile(rb"data:([^,]{0,1019}),(.*)", re.DOTALL | re.IGNORECASE)


def decoded_whole(text: bytes) -> bytes | None:
    """What a data URL stands for, by the rules of `data_url` on the whole text; None if refused."""
    match = _WHOLE.fullmatch(text)
    if not match or not match[1].isascii():
        return None
    parameters = [part.strip().lower() for part in match[1].split(b";")]
    if len(parameters) < 2 or parameters[-1] != b"base64":
        return None
    content = match[2].translate(None, b" \t\n\f\r")
    if not re.fullmatch(
        rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", content
    ):
        return None
    return base64.b64decode(content)


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
    decoder = DataUrlDecoder(10_000)
    content: bytes | None
    try:
        content = b"".join(map(decoder.feed, in_pieces(text, size))) + decoder.close()
    except InvalidDataUrl:
        content = None
    assert content == decoded_whole(text)


@given(near_data_urls, pieces_of, st.integers(1, LIMIT))
@settings(max_examples=examples(200), deadline=None)
def test_a_data_url_never_gives_more_than_its_limit(text: bytes, size: int, limit: int) -> None:
    decoder = DataUrlDecoder(limit)
    given_out = 0
    try:
        for piece in in_pieces(text, size):
            given_out += len(decoder.feed(piece))
        decoder.close()
    except (InvalidDataUrl, ContentTooLarge):
        pass
    assert given_out <= limit


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


def read(body: bytes, size: int) -> tuple[dict[str, Any], bytes] | None:
    """What `UploadBody` makes of it: the document, and what it handed on; None if refused."""
    taken: list[bytes] = []
    reader = UploadBody(4096, taken.append)
    try:
        for piece in in_pieces(body, size):
            reader.feed(piece)
        return reader.close(), b"".join(taken)
    except InvalidJson:
        return None


@given(upload_bodies, pieces_of, st.booleans(), st.sampled_from([None, 1]))
@settings(max_examples=examples(300), deadline=None)
def test_an_upload_body_is_read_as_json_reads_it(
    document: dict[str, Any], size: int, ascii_only: bool, indent: int | None
) -> None:
    written = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    result = read(written.encode("utf-8", "surrogatepass"), size)
    assert result is not None
    found, handed_on = result
    data_url = document.get("source", {}).get("data_url")
    if data_url is not None:
        assert found["source"]["data_url"] is STREAMED
        found["source"]["data_url"] = handed_on.decode()
    assert found == document


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
    result = read(bytes(body), size)
    if result is not None:
        found, handed_on = result
        source = found.get("source")
        if isinstance(source, dict) and source.get("data_url") is STREAMED:
            source["data_url"] = handed_on.decode("utf-8", "surrogatepass")
        assert found == json.loads(bytes(body))


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
@settings(max_examples=examples(300), deadline=None)
def test_a_form_that_is_taken_means_the_same_in_pieces_as_in_one(body: bytes, size: int) -> None:
    def form(pieces: list[bytes]) -> object:
        taken: list[bytes] = []
        try:
            reader = FormReader("multipart/form-data; boundary=b", taken.append)
            for piece in pieces:
                reader.feed(piece)
            return reader.close(), b"".join(taken)
        except InvalidForm:
            return None

    whole, read = form([body]), form(in_pieces(body, size))
    # What stands before the first boundary is skipped or refused, as the pieces fall.
    assert whole is None or read is None or read == whole


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":[', b'{"source":{"data_url":['])
def test_nesting_without_an_end_is_refused_soon(opening: bytes) -> None:
    reader = UploadBody(1 << 20, lambda _: None)
    with pytest.raises(InvalidJson, match="deeper than 32"):
        reader.feed(opening * 40)
