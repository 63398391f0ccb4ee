"""Bodies end where RFC 9112 says, however the bytes are cut."""

import itertools

import pytest
from devkong.http.framing import Chunked, FixedLength, Framing
from devkong.http.head import BadMessage, HeadLimits, parse_request_head
from hypothesis import given
from hypothesis import strategies as st


def fed(framing: Framing, data: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    body, rest = b"", b""
    for first, last in itertools.pairwise(places):
        if framing.done:
            rest += data[first:last]
            continue
        piece, left = framing.feed(data[first:last])
        body, rest = body + piece, rest + left
    return body, rest


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.lists(st.integers(0, 400)))
def test_chunks_give_back_the_body_and_what_follows(chunks: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(b"%x;x=y\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\nT: v\r\n\r\n"
    framing = Chunked()
    assert fed(framing, wire + b"GET ", cuts) == (b"".join(chunks), b"GET ")
    assert framing.done


@given(st.binary(max_size=60), st.lists(st.integers(0, 100)))
def test_a_length_ends_a_body(body: bytes, cuts: list[int]) -> None:
    framing = FixedLength(len(body))
    assert fed(framing, body + b"next", cuts) == (body, b"next")


@pytest.mark.parametrize("wire", [b"zz\r\n", b"1\r\nab\r\n", b"-1\r\n", b"0x1\r\na\r\n"])
def test_broken_chunks_are_refused(wire: bytes) -> None:
    with pytest.raises(BadMessage):
        Chunked().feed(wire)


@pytest.mark.parametrize(
    "head",
    [
        b"GET  / HTTP/1.1\r\nHost: a",
        b"get / HTTP/1.1\r\nHost: a",
        b"GET / HTTP/2\r\nHost: a",
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b",
        b"GET / HTTP/1.1\r\nHost: a\r\nX : 1",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00",
    ],
)
def test_a_head_that_nginx_refuses_is_refused(head: bytes) -> None:
    with pytest.raises(BadMessage) as refused:
        parse_request_head(head)
    assert refused.value.status == 400


def test_any_other_byte_may_stand_in_a_target_and_a_value() -> None:
    head = parse_request_head(b"GET /\xff?q=\x80 HTTP/1.1\r\nHost: a\r\nX: \xff\x01\xfe")
    assert head.target == b"/\xff?q=\x80"
    assert head.headers.get(b"x") == b"\xff\x01\xfe"


@pytest.mark.parametrize(
    ("limits", "length", "most"),
    [
        ((4, 8192), 8190, 3),
        ((4, 8192), 8188, 4),
        ((4, 8192), 8191, 0),
        ((4, 8192), 4100, 4),
        ((4, 8192), 4003, 8),
        ((4, 32768), 30_003, 4),
        ((4, 32768), 4003, 32),
    ],
)
def test_as_many_lines_fit_into_the_buffers_as_nginx_puts_there(
    limits: tuple[int, int], length: int, most: int
) -> None:
    """Measured with nginx 1.22: only whole lines are put into a buffer."""
    line = b"\r\nX: ".ljust(2 + length, b"a")

    def parsed(number: int) -> None:
        parse_request_head(b"GET / HTTP/1.1\r\nHost: a" + line * number, HeadLimits(*limits))

    for number in range(1, most + 1):
        parsed(number)
    with pytest.raises(BadMessage) as refused:
        parsed(most + 1)
    assert refused.value.status == 494
