"""Reading a form while it arrives."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jan_media.api.form_body import MOST_FIELD_BYTES, MOST_FIELDS, FormBody
from jan_media.errors import Refused

from tests.fuzz.readers.form import Form, read_strictly
from tests.fuzz.readers.pieces import in_pieces
from tests.support.upload_bodies import AnyForm, a_spool, request_of

BOUNDARY = "frontier"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, value: bytes, *, filename: str | None = None, headers: str = "") -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n{headers}\r\n'
    return head.encode() + value + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def read(body: bytes, piece: int = 10, content_type: str = CONTENT_TYPE) -> Form:
    return read_strictly(content_type, in_pieces(body, piece))


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_fields_and_file_are_told_apart(piece: int) -> None:
    image = bytes(range(256)) * 10
    body = (
        part("user_id", "ü".encode())
        + part("file", image, filename="é.png", headers="Content-Type: image/png\r\n")
        + part("after", b"1")
        + END
    )
    assert read(body, piece) == Form({"user_id": "ü", "after": "1"}, "é.png", image)


@given(st.binary(max_size=400), st.integers(1, 60))
def test_any_content_in_any_pieces_comes_back(content: bytes, piece: int) -> None:
    if f"\r\n--{BOUNDARY}".encode() not in content:
        assert read(part("file", content, filename="f") + END, piece).content == content


@given(st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--frontie", b"\r\n--", b"x"]), max_size=30))
def test_content_that_looks_like_a_boundary_comes_back(pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    if f"\r\n--{BOUNDARY}".encode() not in content:
        for piece in (1, 3, 1000):
            assert read(part("file", content, filename="f") + END, piece).content == content


def test_the_fields_in_front_of_the_file_are_known_when_it_begins() -> None:
    seen: list[object] = []

    class Watched(AnyForm):
        def check(self, fields: Mapping[str, str]) -> None:
            seen.append((dict(fields), self.spool.size))

    form = Watched(CONTENT_TYPE)
    form.feed(part("key", b"k") + part("policy", b"p") + part("file", b"abc") + part("z", b"1"))
    form.feed(END)
    assert seen == [({"key": "k", "policy": "p"}, 0)]
    assert form.close() == {"key": "k", "policy": "p", "z": "1"}
    assert form.spool.from_start().read() == b"abc"


def test_an_error_at_the_beginning_of_the_file_stops_before_its_first_byte() -> None:
    class Refusing(AnyForm):
        def check(self, fields: Mapping[str, str]) -> None:
            raise PermissionError("the policy has expired")

    form = Refusing(CONTENT_TYPE)
    with pytest.raises(PermissionError):
        form.feed(part("file", b"abc") + END)
    assert form.spool.size == 0


def test_a_file_may_lack_name_and_type() -> None:
    assert read(part("file", b"abc") + END) == Form({}, "", b"abc")


def test_a_form_may_have_no_file_or_an_empty_one() -> None:
    assert read(part("a", b"1") + END) == Form({"a": "1"}, None, b"")
    assert read(part("file", b"", filename="f") + END) == Form({}, "f", b"")


def test_what_follows_the_end_means_nothing() -> None:
    body = part("a", b"1") + END + b"trailing" + part("file", b"no")
    assert read(body) == Form({"a": "1"}, None, b"")


def test_a_quoted_boundary_is_taken() -> None:
    quoted = f'Multipart/Form-Data; charset=utf-8; boundary="{BOUNDARY}"'
    assert read(part("a", b"1") + END, content_type=quoted).fields == {"a": "1"}


@pytest.mark.parametrize("piece", [1, 3, 100_000])
@pytest.mark.parametrize(
    "preamble",
    [
        b"\r\n\r\n",
        b"preamble\r\n",
        b"--other\r\n",
        b"MIME-Version: 1.0\r\nContent-Type: multipart/form-data\r\n\r\n",
        b"--frontie\r\n --frontier\r\n",
        b"x" * 50_000 + b"\r\n",
    ],
)
def test_what_is_before_the_first_boundary_means_nothing(preamble: bytes, piece: int) -> None:
    assert read(preamble + part("a", b"1") + END, piece).fields == {"a": "1"}


def test_a_preamble_without_an_end_is_refused() -> None:
    with pytest.raises(Refused, match="besides its file"):
        read(b"x" * 200_000, 1000)


@pytest.mark.parametrize(
    "name",
    [
        "全家.png".encode("gbk"),
        b"Stra\xdfe.png",
        b"a\0b.png",
        b"a\tb.png",
        b'a"; x="b',
        b"a%22b%0Ac.png",
        b"",
        b"n" * 3_000,
    ],
)
@pytest.mark.parametrize("piece", [1, 100_000])
def test_a_file_may_have_any_name(name: bytes, piece: int) -> None:
    odd = part("file", b"abc", filename="NAME").replace(b"NAME", name)
    form = read(odd + END, piece)
    assert form.file_name is not None
    assert form.content == b"abc"


def usual() -> FormBody:
    """A form of which nothing is known but the user's name."""
    return FormBody(request_of(CONTENT_TYPE), a_spool())


def test_fields_that_mean_nothing_may_be_anything() -> None:
    reader = usual()
    for _ in range(500):
        reader.feed(part("tags", b"\xff\xfe"))
    reader.feed(part("caption", b"x", headers="Content-Transfer-Encoding: base64\r\n"))
    reader.feed(part("user_id", b"u") + part("file", b"abc") + part("tags", b"a") + END)
    reader.close()
    assert (reader.fields, reader.file_name) == ({"user_id": "u"}, "")
    with pytest.raises(Refused, match="twice"):
        usual().feed(part("user_id", b"u") + part("user_id", b"v"))
    with pytest.raises(Refused, match="besides its file"):
        usual().feed(part("tags", b"x" * 200_000))


@pytest.mark.parametrize("empty", [part("thumb", b"", filename=""), part("file", b"", filename="")])
def test_an_empty_input_beside_the_real_file_means_nothing(empty: bytes) -> None:
    file = part("file", b"abc", filename="a.png")
    for body in (empty + file + END, file + empty + END):
        assert read(body) == Form({}, "a.png", b"abc")


@pytest.mark.parametrize("piece", [1, 3, 100_000])
def test_an_empty_line_before_the_first_boundary_is_passed_over(piece: int) -> None:
    assert read(b"\r\n" + part("a", b"1") + END, piece).fields == {"a": "1"}


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=x",
        "application/json",
        "multipart/form-data; boundary=" + "x" * 1000,
    ],
)
def test_a_content_type_without_a_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(Refused):
        AnyForm(content_type)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        END[:-4],
        part("a", b"1"),
        part("file", b"abc", filename="f")[:-2],
        part("file", b"abc", filename="f") + END[:-4],
        part("a", b"1") + part("a", b"2") + END,
        part("file", b"1") + part("file", b"2") + END,
        part("image", b"1", filename="x.png") + END,
        part("a", b"\xff") + END,
        END,
        b"preamble\r\n" + END,
        part("file", b"1", headers="Content-Transfer-Encoding: base64\r\n") + END,
        part("file", b"1", headers="Content-Type: a/b\r\nContent-type: c/d\r\n") + END,
        f"--{BOUNDARY}\r\n\r\nabc\r\n".encode() + END,
        f"--{BOUNDARY}\r\nContent-Disposition: attachment; name=a\r\n\r\nabc\r\n".encode() + END,
        f"--{BOUNDARY}\r\nContent-Disposition: form-data\r\n\r\nabc\r\n".encode() + END,
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; na".encode(),
        f"--{BOUNDARY}\r\n{'X' * 10_000}: 1\r\n\r\n".encode() + END,
        f"--{BOUNDARY}\r\n".encode() + b"X: 1\r\n" * 100 + b"\r\n" + END,
        f"--{BOUNDARY}\r\nBad Header\x01: 1\r\n\r\n".encode() + END,
        part("a", b"1", headers=f"--{BOUNDARY}--x: 1\r\n") + END,
        part("a", b"1", headers="\r\n" + part("b", b"2").decode()) + END,
        b"\r\n-preamble" + part("a", b"1") + END,
        b"\n" + part("a", b"1") + END,
    ],
)
@pytest.mark.parametrize("piece", [1, 100_000])
def test_a_malformed_form_is_refused(body: bytes, piece: int) -> None:
    with pytest.raises(Refused) as refused:
        read(body, piece)
    assert refused.value.code == "invalid_form"
    assert refused.value.message


def test_fields_are_limited_in_size_and_number() -> None:
    form = AnyForm(CONTENT_TYPE)
    form.feed(part("a", b"x" * (MOST_FIELD_BYTES - 2)))
    with pytest.raises(Refused, match=f"more than {MOST_FIELD_BYTES} bytes"):
        form.feed(part("b", b"1"))
    form = AnyForm(CONTENT_TYPE)
    for number in range(MOST_FIELDS):
        form.feed(part(str(number), b""))
    with pytest.raises(Refused, match=f"more than {MOST_FIELDS} fields"):
        form.feed(part("one more", b""))


@given(st.binary(max_size=200), st.integers(1, 40))
def test_random_bytes_are_refused_and_never_crash(body: bytes, piece: int) -> None:
    with pytest.raises(Refused):
        read(f"--{BOUNDARY}\r\n".encode() + body, piece)


@pytest.mark.parametrize(
    "start", [b"", part("a", b"x") + END, part("file", b"x") + END, part("file", b"x" * 300_000)]
)
def test_everything_but_the_file_is_limited_wherever_it_stands(start: bytes) -> None:
    line_ends = b"\r\n" * 100_000
    with pytest.raises(Refused):
        read(start + line_ends + b"x", 1000)
    with pytest.raises(Refused, match="besides its file"):
        read(part("file", b"x" * 300_000) + END + line_ends, 1000)
