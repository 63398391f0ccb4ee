"""HTTP/1.1 requests that fit in memory, over connections to one server that are kept open.

What urllib3 and http.client do with an answer (an e-mail parser for its headers, objects on the
way) takes four times as long as all else that a small request costs. Here one system call sends
the request, and httptools reads the answer. There is no proxy, no redirect and no cookie.
"""

import socket
import ssl
import struct
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import httptools

from jan_media.idle_socket import has_news

_READ = 64 * 1024  # bytes; answers are short
_LONGEST_ANSWER = 1024 * 1024  # bytes of its body


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    body: bytes


class KeptConnections:
    """Sends requests to the server of ``origin``. For use by any number of threads.

    As many connections are kept as requests were under way at once. Timeouts are in seconds, that
    of reading also for what is sent. ``tls`` is for an ``https`` origin.
    """

    def __init__(
        self,
        origin: str,
        *,
        connect_timeout: float,
        read_timeout: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        address = urlsplit(origin)
        self._host = address.hostname or ""
        self._tls = tls if address.scheme == "https" else None
        self._port = address.port or (443 if self._tls else 80)
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._idle: deque[socket.socket] = deque()  # the one used last on the right
        self._closed = False

    def exchange(self, request: bytes) -> Answer:
        """Send a whole request, which leaves the connection open, and return its answer.

        Raises `OSError` if the server is away, does not answer in time or not in HTTP.
        """
        connection = self._connection()
        try:
            with suppress(BrokenPipeError):  # it has refused after the head, and says why
                connection.sendall(request)
            reader = _AnswerReader()
            while not reader.complete:
                reader.feed(connection.recv(_READ))
        except BlockingIOError as error:  # which is how the kernel says it
            connection.close()
            raise TimeoutError("no answer in time") from error
        except BaseException:
            connection.close()
            raise
        if reader.keeps_alive and not self._closed:
            self._idle.append(connection)
        else:
            connection.close()
        return Answer(reader.status, bytes(reader.body))

    def close(self) -> None:
        """Close the connections that are not in use; others as soon as they have been used."""
        self._closed = True
        self.disconnect()

    def disconnect(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            with suppress(IndexError):
                self._idle.pop().close()

    def _connection(self) -> socket.socket:
        with suppress(IndexError):
            while True:
                kept = self._idle.pop()
                if not has_news(kept.fileno()):
                    return kept  # the server has not closed it
                kept.close()
        return self._connect()

    def _connect(self) -> socket.socket:
        connection = socket.create_connection((self._host, self._port), self._connect_timeout)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_hostname=self._host)
                connection.settimeout(self._read_timeout)
            else:
                _time_out(connection, self._read_timeout)
        except BaseException:
            connection.close()
            raise
        return connection


class _AnswerReader:
    """Takes in one answer."""

    def __init__(self) -> None:
        self.status = 0
        self.body = bytearray()
        self.complete = False
        self.keeps_alive = False
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take the next bytes; b"" is the end of the connection. Raises `OSError`."""
        if not data:
            raise ConnectionError("the connection was closed before the answer had ended")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise ConnectionError(f"the answer is not HTTP: {error}") from error
        if len(self.body) > _LONGEST_ANSWER:
            raise ConnectionError("the answer is too long")

    # --- called by the parser

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:  # others announce the answer
            self.status = status
            self.keeps_alive = self._parser.should_keep_alive()
            self.complete = True


def _time_out(connection: socket.socket, seconds: float) -> None:
    """Let the kernel do it: Python asks before every call whether it would wait."""
    connection.setblocking(True)
    timeval = struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))
    for limit in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, limit, timeval)
