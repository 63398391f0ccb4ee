"""The sidecar's internal listener: msgpack over HTTP, on TCP or a Unix socket.

Besides fetching issuers' keys, this is the plugin's only network access.
"""

import logging
import time
from typing import Any, TypeVar

import httpx
import msgpack
import msgspec
from jan_media.log import about
from jan_media.tracing import span

from jan_media_plugin import tracing
from jan_media_plugin.answers import Unavailable
from jan_media_plugin.auth.caller import Caller
from jan_media_plugin.metrics import INLINE_BYTES, SIDECAR_SECONDS

log = logging.getLogger(__name__)

T = TypeVar("T")

_MOST_CONNECTIONS = 64
_MOST_IDLE = 4  # the pool checks every idle connection twice per question
# Also if it is too slow, or sends an invalid answer: the log says which.
_AWAY = "The gateway's media service does not answer. Try again."
_MSGPACK = {"Content-Type": "application/msgpack"}


class SidecarRefuses(Exception):
    """The sidecar refuses the question; ``code`` and ``message`` are its error's."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Sidecar:
    """One sidecar. ``url`` is http(s)://host:port or unix:/path; ``timeout`` is in seconds."""

    def __init__(self, url: str, secret: str | None, timeout: float) -> None:
        self._url = url
        self._headers = {"X-Jan-Gateway-Secret": secret} if secret else {}
        self._timeout = timeout
        self._client: httpx.AsyncClient | None = None

    async def ask(self, path: str, question: dict[str, Any], of: type[T]) -> T:
        """Return the answer to ``question``, parsed as ``of``. Raises `Unavailable`."""
        try:
            return _read(path, await self._post(path, msgpack.packb(question), _MSGPACK), of)
        except SidecarRefuses as refusal:
            log.warning("the sidecar refuses %s: status %d", path, refusal.status)
            raise Unavailable(_AWAY) from refusal

    async def content(self, media_id: str, fit: dict[str, Any] | None) -> bytes:
        """Return the bytes of a medium. Raises `Unavailable` and `SidecarRefuses`."""
        question = msgpack.packb({"id": media_id, "fit": fit})
        return (await self._post("/internal/content", question, _MSGPACK)).content

    async def store(self, content: bytes, mime: str, caller: Caller) -> str:
        """Store ``content`` for ``caller`` and return its id.

        Raises `Unavailable`, and `SidecarRefuses` for the same reasons as an upload.
        """
        headers = {
            "Content-Type": mime,
            "X-Jan-User-Id": caller.subject,
            "X-Jan-Issuer": caller.issuer,
        }
        answer = await self._post("/internal/store", content, headers)
        INLINE_BYTES.inc(len(content))
        return _read("/internal/store", answer, _Stored).id

    async def _post(self, path: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
        if self._client is None:
            self._client = self._connected()
        began, outcome = time.perf_counter(), "away"
        try:
            with span(f"POST {path}", kind="CLIENT"):
                headers = {**_about_headers(), **tracing.passed_on(), **headers}
                encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
                answer = await self._client.post(path, content=content, headers=encoded)
            outcome = str(answer.status_code)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            log.warning("the sidecar does not answer %s: %s", path, type(error).__name__)
            raise Unavailable(_AWAY) from error
        finally:
            SIDECAR_SECONDS.labels(path, outcome).observe(time.perf_counter() - began)
        if answer.status_code == 200:
            return answer
        refusal = _refusal(answer)
        if refusal is None:
            log.warning("the sidecar does not answer %s: status %d", path, answer.status_code)
            raise Unavailable(_AWAY)
        raise refusal

    def _connected(self) -> httpx.AsyncClient:
        unix = self._url.removeprefix("unix:") if self._url.startswith("unix:") else None
        limits = httpx.Limits(
            max_connections=_MOST_CONNECTIONS, max_keepalive_connections=_MOST_IDLE
        )
        return httpx.AsyncClient(
            base_url="http://sidecar" if unix else self._url,
            headers=self._headers,
            timeout=self._timeout,
            trust_env=False,  # the environment's proxy must not be used for the sidecar
            transport=httpx.AsyncHTTPTransport(uds=unix, limits=limits, retries=1),
        )


def _about_headers() -> dict[str, str]:
    """The request and caller for the sidecar's log; of a shared question, the first request's."""
    request = about.get()
    if request is None:
        return {}
    headers = {"X-Kong-Request-Id": request.request_id}
    if request.caller:
        issuer, _, subject = request.caller.partition("|")  # no issuer has one
        headers |= {"X-Jan-User-Id": subject, "X-Jan-Issuer": issuer}
    return headers


class _Stored(msgspec.Struct):
    id: str


def _read(path: str, answer: httpx.Response, of: type[T]) -> T:
    try:
        return msgspec.convert(msgpack.unpackb(answer.content), of)
    except (ValueError, msgpack.UnpackException) as error:
        log.warning("the sidecar answers %s in another form: %s", path, type(error).__name__)
        raise Unavailable(_AWAY) from error


def _refusal(answer: httpx.Response) -> SidecarRefuses | None:
    """Return the error of an answer, if the request is at fault."""
    if not 400 <= answer.status_code < 500 or answer.status_code in (401, 403):
        return None
    try:
        error = answer.json()["error"]
        return SidecarRefuses(answer.status_code, str(error["code"]), str(error["message"]))
    except (ValueError, LookupError, TypeError):
        return None
