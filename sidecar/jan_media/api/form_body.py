"""A multipart/form-data body (RFC 7578), parsed while it arrives: small fields, and one file.

The file is the part named ``file``, with or without a file name, as in an S3 browser upload. A file
in any other part is refused unless it is empty, as browsers send for an input without a file. The
fields before the file are known when it begins, so that a policy among them can be checked before
a byte of the file is taken. File names may have any encoding.
"""

from collections.abc import Callable, Mapping, Set

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from jan_media.api.bodies import RawBody
from jan_media.errors import Refused
from jan_media.library.ingest import FileDetails
from jan_media.library.spool import Spool

FILE_PART = "file"
LONGEST_NAME = 255  # characters of a file's name that are kept
MOST_FIELDS = 64
MOST_FIELD_BYTES = 64 * 1024  # names and values of all fields together
MOST_BESIDE = 128 * 1024  # bytes of everything but the file: fields, headers, boundaries
_PLAIN_TRANSFER_ENCODINGS = {b"", b"7bit", b"8bit", b"binary"}


def invalid_form(message: str) -> Refused:
    """The refusal of a form that is invalid or not supported."""
    return Refused("invalid_form", message)


def no_file() -> Refused:
    """The refusal of a form without a file."""
    return Refused("missing_field", f"The form has no part named {FILE_PART}", FILE_PART)


class FormBody(RawBody):
    """A form, of which one part is the file."""

    # Other fields are skipped unchecked; None: all are known.
    known: Set[str] | None = frozenset({"user_id"})
    param: str | None = FILE_PART
    beside = MOST_BESIDE

    def __init__(self, request: Request, spool: Spool) -> None:
        """Raises `Refused` also if it is not multipart/form-data with a boundary."""
        super().__init__(request, spool)
        self.fields: dict[str, str] = {}
        self.file_name: str | None = None  # as the client wrote it; None if there is no file
        self._field_bytes = 0
        self._overhead = 0  # bytes that are not the file's
        self._ended = False
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._take: Callable[[bytes], None] = self._pass_over  # what the current part's bytes go to
        self._name = ""  # of the current field
        self._value = bytearray()
        boundary = _boundary(request.headers.get("content-type", ""))
        self._opening = b"--" + boundary
        # What has come before the first boundary, which must begin a line. None once it is found.
        self._start: bytes | None = b"\r\n"
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._headers.clear,
                    "on_header_field": _given_to(self._header_name.extend),
                    "on_header_value": _given_to(self._header_value.extend),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_part,
                    "on_part_data": _given_to(lambda piece: self._take(piece)),
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise invalid_form("The form's boundary is too long.") from None

    def feed(self, piece: bytes) -> None:
        self._overhead += len(piece)
        if self._start is not None:
            piece = self._opened(self._start + piece)
        # The parser ignores what follows the last boundary (RFC 2046, section 5.1.1).
        try:
            self._parser.write(piece)
        except FormParserError:
            raise invalid_form("The body is not valid multipart/form-data.") from None
        if self._overhead > MOST_BESIDE:
            raise invalid_form(f"The form has more than {MOST_BESIDE} bytes besides its file.")

    def close(self) -> dict[str, str]:
        if not self._ended:
            raise invalid_form("The form ends before its closing boundary.")
        if self.file_name is None:
            raise no_file()
        self.details = FileDetails(name=self.file_name.replace("\0", "")[:LONGEST_NAME])
        return self.fields

    def check(self, fields: Mapping[str, str]) -> None:
        """Check the fields that precede the file, before it is read. Raises `Refused`."""

    def _opened(self, start: bytes) -> bytes:
        """The bytes from the first boundary on. What precedes it is ignored."""
        line = start.find(b"\r\n" + self._opening)
        if line < 0:
            self._start = start[-len(self._opening) - 1 :]
            return b""
        self._start = None
        return start[line:]

    # --- the parser's events

    def _end_header(self) -> None:
        if self._header_name.startswith(self._opening):
            raise invalid_form("A part of the form ends among its headers.")
        name = bytes(self._header_name).strip().lower()
        if name in self._headers:
            raise invalid_form("A part of the form has the same header twice.")
        self._headers[name] = bytes(self._header_value).strip()
        self._header_name.clear()
        self._header_value.clear()

    def _begin_part(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition"))
        if disposition.lower() != b"form-data" or b"name" not in options:
            raise invalid_form("A part of the form has no Content-Disposition with a name.")
        name = options[b"name"].decode("utf-8", "replace")
        if name == FILE_PART:
            self._begin_file(options.get(b"filename", b""))
        elif b"filename" in options:
            self._take = self._refuse_file
        elif self.known is None or name in self.known:
            self._begin_field(name)
        else:
            self._take = self._pass_over

    def _refuse_encoded(self) -> None:
        encoding = self._headers.get(b"content-transfer-encoding", b"").lower()
        if encoding not in _PLAIN_TRANSFER_ENCODINGS:
            raise invalid_form("A part of the form has a transfer encoding; send its bytes plain.")

    def _begin_file(self, name: bytes) -> None:
        self._refuse_encoded()
        if self.spool.size:
            self._take = self._refuse_second_file
            return
        self.file_name = name.decode("utf-8", "replace")  # in any encoding
        self._take = self._take_file
        self.check(self.fields)

    def _begin_field(self, name: str) -> None:
        self._refuse_encoded()
        if name in self.fields:
            raise invalid_form("The form has the same field twice.")
        if len(self.fields) == MOST_FIELDS:
            raise invalid_form(f"The form has more than {MOST_FIELDS} fields.")
        self._name = name
        self.fields[name] = ""
        self._value.clear()
        self._take = self._take_value
        self._count_field_bytes(len(name))

    def _take_file(self, piece: bytes) -> None:
        self._overhead -= len(piece)
        self.spool.write(piece)

    def _take_value(self, piece: bytes) -> None:
        self._count_field_bytes(len(piece))
        self._value += piece

    def _pass_over(self, piece: bytes) -> None:
        return

    def _refuse_file(self, piece: bytes) -> None:
        raise invalid_form(f"The form's file must be in the part named {FILE_PART}.")

    def _refuse_second_file(self, piece: bytes) -> None:
        raise invalid_form("The form has more than one file.")

    def _end_part(self) -> None:
        if self._take != self._take_value:
            return
        if self._value.startswith(self._opening):
            # Some parsers take a boundary right after the headers as the end of the part.
            raise invalid_form("A field of the form begins with the form's boundary.")
        try:
            self.fields[self._name] = self._value.decode()
        except UnicodeDecodeError:
            raise invalid_form("The form has text that is not valid UTF-8.") from None

    def _end(self) -> None:
        if not self._headers:
            raise invalid_form("The form has no part before its closing boundary.")
        self._ended = True

    def _count_field_bytes(self, more: int) -> None:
        self._field_bytes += more
        if self._field_bytes > MOST_FIELD_BYTES:
            raise invalid_form(f"The form's fields have more than {MOST_FIELD_BYTES} bytes.")


def _given_to(take: Callable[[bytes], object]) -> Callable[[bytes, int, int], None]:
    """Adapt ``take`` to the parser's callbacks, which get a buffer and a range of it."""

    def event(data: bytes, start: int, end: int) -> None:
        take(data[start:end])

    return event


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind.lower() != b"multipart/form-data" or not boundary:
        raise invalid_form("The Content-Type must be multipart/form-data with a boundary.")
    return boundary
