"""Any bytes survive the wire, and no message takes more memory than it may."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jan_media_plugin.server.connection import new_unpacker, pack

from tests.support.kong_driver import Binary, pack_like_lua


def unpack(packed: bytes, limit: int = 1 << 20) -> object:
    unpacker = new_unpacker(limit)
    unpacker.feed(packed)
    return unpacker.unpack()


@given(st.binary())
def test_a_lua_string_comes_back_as_the_same_bytes(text: bytes) -> None:
    seen = unpack(pack_like_lua({text: [text]}))
    assert isinstance(seen, dict)
    [(key, [value])] = seen.items()
    again = msgpack.unpackb(pack([key, value]), raw=True)
    assert again == [text, text]


@given(st.binary())
def test_a_body_comes_as_bytes_and_goes_as_bytes(body: bytes) -> None:
    assert unpack(pack_like_lua(Binary(body))) == body
    assert msgpack.unpackb(pack(body)) == body


def test_a_message_over_the_limit_is_not_buffered() -> None:
    unpacker = new_unpacker(1000)
    with pytest.raises(msgpack.BufferFull):
        unpacker.feed(b"x" * 1001)


@pytest.mark.parametrize("header", [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"])
def test_a_header_that_promises_billions_of_items_is_refused(header: bytes) -> None:
    with pytest.raises(ValueError, match="exceeds"):
        unpack(header)


@pytest.mark.parametrize("value", [object(), {1, 2}, "\ud800", 1 << 64])
def test_what_cannot_be_packed_is_an_error_and_the_next_message_is_whole(value: object) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        pack(["begun", value])
    assert msgpack.unpackb(pack(["whole"])) == ["whole"]
