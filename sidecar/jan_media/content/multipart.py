"""A multipart/form-data body, read while it arrives: small fields, and one file that streams.

The format is that of RFC 7578. The file is the part named ``file``, with or without a file name,
as in an S3 browser upload; a file in any other part is refused. The fields in front of it are
known when it begins, so that a policy among them can be checked before a byte is taken. The body
begins with its boundary: no client sends a preamble (RFC 2046, section 5.1.1), and what is one
depends on how a parser gets its bytes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

FILE_PART = "file"
_MAX_FRAME_BYTES = 64 * 1024  # boundaries and part headers
_PLAIN_TRANSFER_ENCODINGS = {b"", b"7bit", b"8bit", b"binary"}


class InvalidForm(Exception):
    """The body is not a form that is taken here; ``message`` says why."""

    code = "invalid_form"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Form:
    """What a form said, apart from its file's bytes."""

    fields: dict[str, str]
    file_present: bool
    file_content_type: str | None  # as the client wrote it: data, not to be trusted
    file_name: str | None  # likewise


def _ignore_fields(fields: Mapping[str, str]) -> None:
    return


class FormReader:
    """Reads one form; gives the file's bytes to a callback as they come."""

    def __init__(
        self,
        content_type: str,
        on_file: Callable[[bytes], None],
        on_file_start: Callable[[Mapping[str, str]], None] = _ignore_fields,
        *,
        max_field_bytes: int = 64 * 1024,
        max_fields: int = 64,
    ) -> None:
        """``content_type`` is the request's; ``on_file_start`` gets the fields before the file.

        ``max_field_bytes`` limits the names and values of all fields together. Raises
        `InvalidForm` if the content type is not multipart/form-data with a boundary.
        """
        self._on_file = on_file
        self._on_file_start = on_file_start
        self._max_field_bytes = max_field_bytes
        self._max_fields = max_fields
        self._fields: dict[str, str] = {}
        self._field_bytes = 0
        self._overhead = 0  # bytes that are not the file's
        self._file_present = False
        self._file_content_type: str | None = None
        self._file_name: str | None = None
        self._ended = False
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._value: bytearray | None = None  # of the current field; None in the file
        boundary = _boundary(content_type)
        self._opening = b"--" + boundary
        self._start: bytes | None = b""  # None once the opening has been seen
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._headers.clear,
                    "on_header_begin": self._begin_header,
                    "on_header_field": self._add_header_name,
                    "on_header_value": self._add_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_part,
                    "on_part_data": self._add_part_data,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise InvalidForm("The form's boundary is too long.") from None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. Raises `InvalidForm`, and whatever a callback raises."""
        self._overhead += len(chunk)
        if self._start is not None:
            chunk = self._opened(self._start + chunk)
        if not self._ended and chunk:
            # What follows the last boundary means nothing (RFC 2046, section 5.1.1).
            try:
                self._parser.write(chunk)
            except FormParserError:
                raise InvalidForm("The body is not valid multipart/form-data.") from None
        if self._overhead > self._max_field_bytes + _MAX_FRAME_BYTES:
            raise InvalidForm(
                f"The form has more than {self._max_field_bytes + _MAX_FRAME_BYTES} bytes "
                "besides its file."
            )

    def close(self) -> Form:
        """Return what the form said. Raises `InvalidForm` if it ends too early."""
        if not self._ended:
            raise InvalidForm("The form ends before its closing boundary.")
        return Form(
            dict(self._fields), self._file_present, self._file_content_type, self._file_name
        )

    def _opened(self, start: bytes) -> bytes:
        """All that has come, once it is known to begin with the boundary; nothing before."""
        first = start.removeprefix(b"\r\n")
        if len(first) < len(self._opening):
            self._start = start
            return b""
        if not first.startswith(self._opening):
            raise InvalidForm("The body does not begin with the boundary of its Content-Type.")
        self._start = None
        return start

    # --- the parser's events

    def _begin_header(self) -> None:
        self._header_name.clear()
        self._header_value.clear()

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.startswith(self._opening):
            raise InvalidForm("A part of the form ends among its headers.")
        name = bytes(self._header_name).strip().lower()
        if name in self._headers:
            raise InvalidForm("A part of the form has the same header twice.")
        self._headers[name] = bytes(self._header_value).strip()

    def _begin_part(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition"))
        if disposition.lower() != b"form-data" or b"name" not in options:
            raise InvalidForm("A part of the form has no Content-Disposition with a name.")
        encoding = self._headers.get(b"content-transfer-encoding", b"").lower()
        if encoding not in _PLAIN_TRANSFER_ENCODINGS:
            raise InvalidForm("A part of the form has a transfer encoding; send its bytes plain.")
        name = _text(options[b"name"])
        if name == FILE_PART:
            self._begin_file(options.get(b"filename"))
        elif b"filename" in options:
            raise InvalidForm(f"The form's file must be in the part named {FILE_PART}.")
        else:
            self._begin_field(name)

    def _begin_file(self, name: bytes | None) -> None:
        if self._file_present:
            raise InvalidForm("The form has more than one file.")
        content_type = self._headers.get(b"content-type")
        self._file_content_type = None if content_type is None else _text(content_type)
        self._file_name = None if name is None else _text(name)
        self._file_present = True
        self._value = None
        self._on_file_start(dict(self._fields))

    def _begin_field(self, name: str) -> None:
        if name in self._fields:
            raise InvalidForm("The form has the same field twice.")
        if len(self._fields) == self._max_fields:
            raise InvalidForm(f"The form has more than {self._max_fields} fields.")
        self._name = name
        self._value = bytearray()
        self._count_field_bytes(len(name))

    def _add_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._value is None:
            self._overhead -= end - start
            self._on_file(data[start:end])
            return
        self._count_field_bytes(end - start)
        self._value += data[start:end]

    def _end_part(self) -> None:
        if self._value is not None:
            if self._value.startswith(self._opening):
                # To some, a boundary right behind the headers ends a part without a content.
                raise InvalidForm("A field of the form begins with the form's boundary.")
            self._fields[self._name] = _text(bytes(self._value))

    def _end(self) -> None:
        self._ended = True

    def _count_field_bytes(self, more: int) -> None:
        self._field_bytes += more
        if self._field_bytes > self._max_field_bytes:
            raise InvalidForm(f"The form's fields have more than {self._max_field_bytes} bytes.")


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind.lower() != b"multipart/form-data" or not boundary:
        raise InvalidForm("The Content-Type must be multipart/form-data with a boundary.")
    return boundary


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InvalidForm("The form has text that is not valid UTF-8.") from None
