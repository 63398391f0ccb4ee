"""The Content-Disposition of a stored object."""

from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jan_media.storage.disposition import inline_disposition


def test_a_plain_name_is_quoted() -> None:
    assert inline_disposition("cat.png") == 'inline; filename="cat.png"'


@given(st.text(st.characters(codec="utf-8")))
def test_any_name_gives_one_safe_header_line(name: str) -> None:
    value = inline_disposition(name)

    assert value.startswith("inline; filename=")
    assert value.isascii()
    assert value.isprintable()


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_name_is_read_back_by_a_client(name: str) -> None:
    message = Message()
    message["Content-Disposition"] = inline_disposition(name)
    read = message.get_params(header="content-disposition")
    assert read is not None
    last: dict[str, Any] = dict(read[1:])  # a client prefers filename*, which comes last

    assert collapse_rfc2231_value(last["filename"]) == name
