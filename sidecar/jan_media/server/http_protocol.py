"""uvicorn's HTTP protocol, with a limit on headers, and our error shape for what is not HTTP."""

import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# More than the plugin lets through (max_header_bytes), with the identity that it adds.
MAX_HEAD = 64 * 1024  # bytes of the request line and all headers
MAX_HEADERS = 1100


class _TooLarge(Exception):
    """The head of a request is over a limit. Ends the parsing."""


class JanHttpProtocol(HttpToolsProtocol):
    """Answers a request that cannot be parsed in the one error shape, and closes.

    httptools itself has no limits: it would keep a header of any length, and any number of them.
    """

    _in_head = True
    _received = 0  # bytes that came while the head had no end
    _over = ""  # the limit that was exceeded

    def data_received(self, data: bytes) -> None:
        """Take what the peer sent; refuse a head that does not end in time."""
        if self._in_head:
            self._received += len(data)
        super().data_received(data)
        if self._in_head and self._received > MAX_HEAD and not self.transport.is_closing():
            self._over = f"{MAX_HEAD} bytes"
            self.send_400_response("")

    def on_headers_complete(self) -> None:
        """The head has ended: hold it against the limits."""
        head = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if head > MAX_HEAD:
            self._over = f"{MAX_HEAD} bytes"
        elif len(self.headers) > MAX_HEADERS:
            self._over = f"{MAX_HEADERS} lines"
        if self._over:
            raise _TooLarge
        self._in_head = False
        self._received = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body has ended; what comes next is another head."""
        self._in_head = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """``msg`` is uvicorn's reason, in ASCII."""
        if self._over:
            self._refuse(
                b"431 Request Header Fields Too Large",
                "headers_too_large",
                f"The request's headers are over the limit of {self._over}: send fewer or less",
            )
        else:
            self._refuse(
                b"400 Bad Request", "invalid_http", f"The request is not valid HTTP/1.1: {msg}"
            )

    def _refuse(self, status: bytes, code: str, message: str) -> None:
        error = {
            "type": "invalid_request_error",
            "code": code,
            "message": message,
            "param": None,
        }
        body = json.dumps({"error": error}).encode("ascii")
        self.transport.write(
            b"HTTP/1.1 %s\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body)
        )
        self.transport.close()
