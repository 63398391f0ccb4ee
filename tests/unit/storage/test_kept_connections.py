"""HTTP over kept connections, against servers that do all that servers do."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jan_media.storage.kept_connections import Answer, KeptConnections

REQUEST = b"PUT /a HTTP/1.1\r\nhost: s3\r\ncontent-length: 3\r\n\r\nabc"
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SOON = 30  # seconds: the end of patience of a test, not what it takes

Serve = Callable[[socket.socket], None]


class Server:
    """Accepts connections; the next of ``scripts`` serves each."""

    def __init__(self, *scripts: Serve) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.accepted = 0
        self._thread = threading.Thread(target=self._accept, args=(scripts,), daemon=True)
        self._thread.start()

    def _accept(self, scripts: tuple[Serve, ...]) -> None:
        for serve in scripts:
            with suppress(OSError):
                connection, _ = self._listener.accept()
                self.accepted += 1
                with connection:
                    serve(connection)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def opened() -> Iterator[Callable[..., tuple[Server, KeptConnections]]]:
    everything: list[Server | KeptConnections] = []

    def open_(*scripts: Serve, read_timeout: float = SOON) -> tuple[Server, KeptConnections]:
        server = Server(*scripts)
        connections = KeptConnections(
            server.origin, connect_timeout=SOON, read_timeout=read_timeout
        )
        everything.extend((connections, server))
        return server, connections

    yield open_
    for each in everything:
        each.close()


def answering(*answers: bytes) -> Serve:
    """Answer so many requests, then close."""

    def serve(connection: socket.socket) -> None:
        for answer in answers:
            received = b""
            while len(received) < len(REQUEST):
                received += connection.recv(65536)
            assert received == REQUEST
            connection.sendall(answer)

    return serve


def silent_until(over: threading.Event) -> Serve:
    """Say nothing, and keep the connection open."""

    def serve(connection: socket.socket) -> None:
        over.wait(SOON)

    return serve


Open = Callable[..., tuple[Server, KeptConnections]]


def test_requests_follow_each_other_on_one_connection(opened: Open) -> None:
    server, connections = opened(answering(FINE, FINE, FINE))

    assert [connections.exchange(REQUEST) for _ in range(3)] == [Answer(200, b"ok")] * 3
    assert server.accepted == 1


def test_a_connection_that_the_server_has_closed_meanwhile_is_not_used(opened: Open) -> None:
    server, connections = opened(answering(FINE), answering(FINE))
    connections.exchange(REQUEST)
    (idle,) = connections._idle
    assert idle.recv(1, socket.MSG_PEEK) == b""  # once its end has come

    assert connections.exchange(REQUEST) == Answer(200, b"ok")
    assert server.accepted == 2


@pytest.mark.parametrize(
    "last",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_a_connection_that_the_server_will_close_is_not_kept(opened: Open, last: bytes) -> None:
    _, connections = opened(answering(last))

    assert connections.exchange(REQUEST) == Answer(200, b"ok")
    assert not connections._idle


def test_chunks_and_a_word_before_the_answer_are_understood(opened: Open) -> None:
    answer = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 503 Slow Down\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nslo\r\n1\r\nw\r\n0\r\n\r\n"
    )
    _, connections = opened(answering(answer, FINE))

    assert connections.exchange(REQUEST) == Answer(503, b"slow")
    assert connections.exchange(REQUEST) == Answer(200, b"ok")


def test_a_refusal_before_the_body_has_been_read_is_heard(opened: Open) -> None:
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    def refuse(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(refusal)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    _, connections = opened(refuse)
    head = b"PUT /a HTTP/1.1\r\nhost: s3\r\ncontent-length: 5000000\r\n\r\n"

    assert connections.exchange(head + bytes(5_000_000)).status == 403


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + bytes(9_000_000),
    ],
    ids=["nothing", "half a head", "half a body", "another protocol", "no end"],
)
def test_what_is_no_whole_answer_is_an_error_and_the_next_request_works(
    opened: Open, answer: bytes
) -> None:
    _, connections = opened(answering(answer), answering(FINE))

    with pytest.raises(ConnectionError):
        connections.exchange(REQUEST)
    assert connections.exchange(REQUEST) == Answer(200, b"ok")


def test_a_silent_server_is_an_error_in_time(opened: Open) -> None:
    over = threading.Event()
    _, connections = opened(silent_until(over), read_timeout=0.2)

    with pytest.raises(TimeoutError):
        connections.exchange(REQUEST)
    over.set()


def test_nothing_stays_open_after_the_end(opened: Open) -> None:
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        answering(FINE)(connection)
        if connection.recv(1) == b"":
            ended.set()

    _, connections = opened(serve)
    connections.exchange(REQUEST)
    connections.close()

    assert ended.wait(SOON)


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost with its key, which only those trust who are told to."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    file.write_bytes(
        made.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return file


def over_tls(certificate: Path, serve: Serve) -> Serve:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def wrapped(connection: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as inner:
            serve(inner)

    return wrapped


def secure(server: Server, tls: ssl.SSLContext, *, host: str = "localhost") -> KeptConnections:
    origin = server.origin.replace("http://127.0.0.1", f"https://{host}")
    return KeptConnections(origin, connect_timeout=SOON, read_timeout=0.5, tls=tls)


def test_requests_follow_each_other_over_tls(opened: Open, certificate: Path) -> None:
    server, _ = opened(over_tls(certificate, answering(FINE, FINE)))
    connections = secure(server, ssl.create_default_context(cafile=certificate))

    assert [connections.exchange(REQUEST) for _ in range(2)] == [Answer(200, b"ok")] * 2
    connections.close()


def test_a_server_silent_over_tls_is_an_error_in_time(opened: Open, certificate: Path) -> None:
    over = threading.Event()
    server, _ = opened(over_tls(certificate, silent_until(over)))
    connections = secure(server, ssl.create_default_context(cafile=certificate))

    with pytest.raises(TimeoutError):
        connections.exchange(REQUEST)
    over.set()


@pytest.mark.parametrize(("host", "trusted"), [("localhost", False), ("127.0.0.1", True)])
def test_a_certificate_of_a_stranger_or_for_another_name_is_refused(
    opened: Open, certificate: Path, host: str, trusted: bool
) -> None:
    server, _ = opened(over_tls(certificate, answering(FINE)))
    tls = ssl.create_default_context(cafile=certificate if trusted else None)

    with pytest.raises(ssl.SSLCertVerificationError):
        secure(server, tls, host=host).exchange(REQUEST)
