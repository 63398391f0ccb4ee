"""uvicorn's HTTP protocol, with our error shape for what is not HTTP at all."""

import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class JanHttpProtocol(HttpToolsProtocol):
    """Answers a request that cannot be parsed in the one error shape, and closes."""

    def send_400_response(self, msg: str) -> None:
        """``msg`` is uvicorn's reason, in ASCII."""
        error = {
            "type": "invalid_request_error",
            "code": "invalid_http",
            "message": f"The request is not valid HTTP/1.1: {msg}",
            "param": None,
        }
        body = json.dumps({"error": error}).encode("ascii")
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
        )
        self.transport.close()
