"""A proxy in front of a gateway: it speaks TLS, and serves the gateway below a path."""

import datetime
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.support.waiting import wait_until

# What is meant for the next hop alone (RFC 9110, 7.6.1), and what the client sets itself.
_OF_ONE_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host"}
_METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]


@contextmanager
def running(folder: Path, port: int, prefix: str, gateway: str) -> Iterator[str]:
    """Serve ``gateway`` at the yielded address: https, ``port`` and ``prefix``."""

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        async with httpx.AsyncClient(base_url=gateway, timeout=60, trust_env=False) as client:
            app.state.client = client
            yield

    async def pass_on(request: Request) -> Response:
        client: httpx.AsyncClient = request.app.state.client
        target = httpx.URL(path=f"/{request.path_params['rest']}", query=request.url.query.encode())
        kept = [(n, v) for n, v in request.headers.items() if n not in _OF_ONE_HOP]
        kept += [("x-forwarded-proto", "https"), ("x-forwarded-prefix", prefix)]
        asked = client.build_request(request.method, target, headers=kept, content=request.stream())
        answer = await client.send(asked, stream=True)
        passed = StreamingResponse(
            answer.aiter_raw(), answer.status_code, background=BackgroundTask(answer.aclose)
        )
        passed.raw_headers = [
            (n.lower(), v) for n, v in answer.headers.raw if n.lower().decode() not in _OF_ONE_HOP
        ]
        return passed

    app = Starlette(
        routes=[Route(f"{prefix}/{{rest:path}}", pass_on, methods=_METHODS)], lifespan=life
    )
    key, certificate = _certificate(folder)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            port=port,
            ssl_keyfile=key,
            ssl_certfile=certificate,
            log_level="warning",
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield f"https://localhost:{port}{prefix}"
    finally:
        server.should_exit = True
        thread.join()


def _certificate(folder: Path) -> tuple[Path, Path]:
    """The files of a key and of a certificate for localhost that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_file, certificate_file = folder / "key.pem", folder / "certificate.pem"
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return key_file, certificate_file
