"""Bodies of uploads without a server: requests, spools, and bodies that show what they read."""

import tempfile
from pathlib import Path

from jan_media.api.form_body import FormBody
from jan_media.api.json_body import JsonBody
from jan_media.library.spool import Spool
from starlette.requests import Request


def request_of(content_type: str) -> Request:
    """A request of which nothing has come yet but its headers."""
    headers = [(b"content-type", content_type.encode("latin-1"))]
    return Request({"type": "http", "method": "POST", "headers": headers})


def a_spool() -> Spool:
    """A spool for a file of up to a megabyte."""
    return Spool(Path(tempfile.gettempdir()), max_bytes=1_000_000)


class AnyForm(FormBody):
    """A form whose fields are all known."""

    known = None

    def __init__(self, content_type: str) -> None:
        super().__init__(request_of(content_type), a_spool())


class AnyJson(JsonBody):
    """A JSON body whose long string may be any text, which is kept."""

    def __init__(self) -> None:
        super().__init__(request_of("application/json"), a_spool())
        self.taken = bytearray()

    def take(self, piece: bytes) -> None:
        self.taken += piece
