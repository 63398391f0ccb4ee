"""An accepted form has the content that a simple parser of the whole finds, however it arrives."""

import itertools
import re
from collections import Counter
from typing import NamedTuple

from jan_media.errors import Refused

from tests.fuzz.readers.pieces import in_pieces, leading
from tests.support.upload_bodies import AnyForm

PLAIN = "multipart/form-data; boundary=b"
WORDS = [
    *(
        b"\r\n--b\r\n",
        b"\r\n--b--",
        b"--b\r\n",
        b"--b--\r\n",
        b"\r\n\r\n",
        b"\r\n",
        b"--b",
        b"; boundary=",
    ),
    *(b'Content-Disposition: form-data; name="file"', b'; filename="a.png"', b'; name="user_id"'),
    *(b"; name*=utf-8''file", b"Content-Type: image/png", b"Content-Transfer-Encoding: base64"),
    *(b"multipart/form-data", b"\\", b'"', b"'", b"%", b"=", b";", b"\xff"),
]


class Form(NamedTuple):
    """What a form says."""

    fields: dict[str, str]
    file_name: str | None
    content: bytes


def read(content_type: str, pieces: list[bytes]) -> Form | None:
    """The whole form; None if it is refused."""
    try:
        return read_strictly(content_type, pieces)
    except Refused:
        return None


def read_strictly(content_type: str, pieces: list[bytes]) -> Form:
    """The whole form, with or without a file. Raises `Refused` if it is no form."""
    form = AnyForm(content_type)
    for piece in pieces:
        form.feed(piece)
    try:
        form.close()
    except Refused as refusal:
        if refusal.code != "missing_field":
            raise
    return Form(form.fields, form.file_name, form.spool.from_start().read())


def contents_of_parts(body: bytes) -> list[bytes]:
    """What stands between the head of each part and the next boundary ``b`` (RFC 2046, 5.1.1)."""
    _, *texts = re.split(rb"\r\n--b(\r\n|--)", b"\r\n" + body)
    marked = zip(texts[::2], texts[1::2], strict=True)
    parts = [text for _, text in itertools.takewhile(lambda each: each[0] != b"--", marked)]
    # A part without any header begins with the empty line that ends its head.
    return [(b"\r\n" + text).partition(b"\r\n\r\n")[2] for text in parts]


def assert_same_in_pieces_as_in_one(content_type: str, body: bytes, size: int) -> None:
    assert read(content_type, in_pieces(body, size)) == read(content_type, [body])


def assert_holds_what_stands_there(body: bytes) -> None:
    form = read(PLAIN, [body])
    if form is None or form.content.startswith(b"--b"):
        return  # to some, this ends a part without a content; here it is content, and no media
    found = [value.encode() for value in form.fields.values()]
    if form.file_name is not None:
        found.append(form.content)
    missing = Counter(contents_of_parts(body))
    missing.subtract(found)
    # Before the file, its part may have come empty, as of an input in which nobody chose a file.
    files = len(re.findall(rb"(?i)name\*?=[^\r\n]*file", body))
    assert 0 <= missing.pop(b"", 0) <= max(0, files - 1)
    assert not any(missing.values())


def check(data: bytes) -> None:
    """A byte for the size of pieces, the Content-Type's line, the body."""
    (size,), rest = leading(data, 1)
    content_type, _, body = rest.partition(b"\n")
    assert_same_in_pieces_as_in_one(content_type.decode("latin-1"), body, size + 1)
    assert_holds_what_stands_there(body)
