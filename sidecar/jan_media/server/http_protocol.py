"""uvicorn's HTTP protocol, with a limit on headers, and our error format for what is not HTTP."""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from jan_media.api.errors import error_response

# More than what the plugin accepts (max_header_bytes) and the identity that it adds.
MAX_HEAD = 64 * 1024  # bytes of the request line and all headers
MAX_HEADERS = 1100


class JanHttpProtocol(HttpToolsProtocol):
    """Answers a request that cannot be parsed in the usual error format, and closes.

    httptools itself has no limits: it would keep headers of any length and in any number.
    """

    _in_head = True
    _received = 0  # bytes that came before the head was complete
    _over = ""  # the limit that was exceeded

    def data_received(self, data: bytes) -> None:
        """Parse what the peer sent; refuse a head that is too large."""
        if self._in_head:
            self._received += len(data)
        super().data_received(data)
        if self._in_head and self._received > MAX_HEAD and not self.transport.is_closing():
            self._over = f"{MAX_HEAD} bytes"
            self.send_400_response("")

    def on_headers_complete(self) -> None:
        """The head is complete: check it against the limits."""
        head = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if head > MAX_HEAD:
            self._over = f"{MAX_HEAD} bytes"
        elif len(self.headers) > MAX_HEADERS:
            self._over = f"{MAX_HEADERS} lines"
        if self._over:
            raise ValueError("the head is too large")  # which ends the parsing
        self._in_head = False
        self._received = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body has ended; what comes next is another head."""
        self._in_head = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """``msg`` is uvicorn's reason, in ASCII."""
        code, why = "invalid_http", f"The request is not valid HTTP/1.1: {msg}"
        if self._over:
            code = "headers_too_large"
            why = f"The request's headers are over the limit of {self._over}: send fewer or less"
        answer = error_response(code, why, headers={"Connection": "close"})
        fields = [b"%s: %s\r\n" % field for field in answer.raw_headers]
        head = [STATUS_LINE[answer.status_code], *fields, b"\r\n"]
        self.transport.write(b"".join(head) + bytes(answer.body))
        self.transport.close()
