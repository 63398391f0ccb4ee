"""Decoding a data URL while it arrives."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jan_media.content.data_url import DataUrlDecoder
from jan_media.errors import ContentTooLarge, Refused


def decoded(url: bytes, *, piece: int = 7, max_bytes: int = 1_000_000) -> bytes:
    decoder = DataUrlDecoder(max_bytes)
    content = b"".join(
        decoder.feed(url[place : place + piece]) for place in range(0, len(url), piece)
    )
    decoder.close()
    return content


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_content_in_any_pieces_comes_back(content: bytes, piece: int) -> None:
    url = b"data:image/png;base64," + base64.b64encode(content)
    assert decoded(url, piece=piece) == content


@pytest.mark.parametrize(
    "header",
    [
        b"data:image/png;base64,",
        b"DATA:Image/PNG;BASE64,",
        b"data:;base64,",
        b"data:image/svg+xml;charset=utf-8;base64,",
        b'data:image/png; name="a.png" ; base64,',
    ],
)
@pytest.mark.parametrize("piece", [1, 5, 1000])
def test_header_forms(header: bytes, piece: int) -> None:
    assert decoded(header + b"QUJD", piece=piece) == b"ABC"


@pytest.mark.parametrize("piece", [1, 2, 3, 1000])
def test_white_space_in_the_content_is_skipped(piece: int) -> None:
    assert decoded(b"data:;base64,QU\r\nJD\t R A=\f=\n", piece=piece) == b"ABCD"


@pytest.mark.parametrize("piece", [1, 2, 3, 1000])
def test_content_may_be_percent_encoded(piece: int) -> None:
    assert decoded(b"data:;base64,QUJ%44%51%51%3d%3D%0A", piece=piece) == b"ABCA"
    assert decoded(b"data:;base64,%2B%2f%2B%2F", piece=piece) == base64.b64decode(b"+/+/")


@pytest.mark.parametrize(
    "url",
    [
        b"",
        b"d",
        b"data:",
        b"data:image/png",
        b"data:image/png;base64",
        b"http://example.com/a.png,x",
        b" data:image/png;base64,QUJD",
        b"QUJD",
        b"data:image/png,QUJD",
        b"data:text/plain,a%20b",
        b"data:image/png;base64;x=y,QUJD",
        b"data:image/png;base64x,QUJD",
        b"data:image/p\xffg;base64,QUJD",
        b"data:image/png;\x1cbase64,QUJD",
        b"data:image/png;base64\x0b,QUJD",
        b"data:image/png;base64,QUJ",
        b"data:image/png;base64,QQ=",
        b"data:image/png;base64,Q",
        b"data:image/png;base64,QQ",
        b"data:image/png;base64,QUJD=",
        b"data:image/png;base64,Q===",
        b"data:image/png;base64,====",
        b"data:image/png;base64,=QQQ",
        b"data:image/png;base64,Q=QQ",
        b"data:image/png;base64,QQ==QUJD",
        b"data:image/png;base64,QQ==\n=",
        b"data:image/png;base64,QQ==A",
        b"data:image/png;base64,QU-_",
        b"data:image/png;base64,QU%2B",
        b"data:image/png;base64,QUJD%",
        b"data:image/png;base64,QUJD%3",
        b"data:image/png;base64,QUJD%GG",
        b"data:image/png;base64,QUJD%252B",
        b"data:image/png;base64,QU!D",
        b"data:image/png;base64,QU\0D",
        b"data:image/png;base64,Q\xc3\xbcD",
        b"data:image/png;base64,!",
        b"data:image/png;base64,QUJD,QUJD",
    ],
)
@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_what_is_no_base64_data_url_is_refused(url: bytes, piece: int) -> None:
    with pytest.raises(Refused) as refused:
        decoded(url, piece=piece)
    assert refused.value.code == "invalid_base64"
    assert refused.value.message


def test_a_wrong_start_is_known_at_the_first_byte() -> None:
    with pytest.raises(Refused, match="must start with data:"):
        DataUrlDecoder(10).feed(b"x")


def test_percent_encoded_content_is_refused_with_advice() -> None:
    with pytest.raises(Refused, match="Only base64 data URLs are taken"):
        DataUrlDecoder(10).feed(b"data:text/plain,a%20b")


def test_an_endless_header_is_refused() -> None:
    with pytest.raises(Refused, match="no comma"):
        DataUrlDecoder(10).feed(b"data:" + b"a" * 2000)


def test_a_wrong_character_is_known_when_it_comes() -> None:
    decoder = DataUrlDecoder(100)
    decoder.feed(b"data:;base64,QUJDQ")
    with pytest.raises(Refused, match="base64"):
        decoder.feed(b"!")


def test_content_over_the_limit_is_refused_as_soon_as_it_is_known() -> None:
    exactly = b"data:;base64," + base64.b64encode(b"x" * 10)
    assert decoded(exactly, max_bytes=10) == b"x" * 10
    decoder = DataUrlDecoder(10)
    decoder.feed(b"data:;base64," + base64.b64encode(b"x" * 9))
    with pytest.raises(ContentTooLarge, match="10 bytes"):
        decoder.feed(b"QUJD")


def test_endless_white_space_is_refused() -> None:
    decoder = DataUrlDecoder(1000)
    decoder.feed(b"data:;base64," + b" " * 2000)
    with pytest.raises(ContentTooLarge):
        decoder.feed(b"\n" * 25)


def test_white_space_after_the_padding_does_not_make_room_for_more() -> None:
    decoder = DataUrlDecoder(1000)
    for piece in (b"data:;base64,AA==", b" ", b"", b"\n"):
        decoder.feed(piece)
    with pytest.raises(Refused, match="after its padding"):
        decoder.feed(b"AA==")


@pytest.mark.parametrize("content", [b"AAAA====", b"====", b"AAAAAAAA===="])
def test_padding_of_a_whole_group_is_refused(content: bytes) -> None:
    with pytest.raises(Refused, match="base64"):
        DataUrlDecoder(1000).feed(b"data:;base64," + content)
