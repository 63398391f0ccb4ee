"""The sidecar's internal listener: msgpack over kept-alive HTTP, on TCP or a Unix socket.

The plugin's only network seam besides the issuers' keys.
"""

import asyncio
import logging
from typing import Any

import httpx
import msgpack

log = logging.getLogger(__name__)

_MOST_CONNECTIONS = 64


class SidecarAway(Exception):
    """The sidecar cannot be reached, is too slow, or answers something else than it should."""


class Sidecar:
    """One sidecar. ``url`` is http(s)://host:port or unix:/path; ``timeout`` is in seconds."""

    def __init__(self, url: str, secret: str | None, timeout: float) -> None:
        self._timeout = timeout
        self._headers = {"Content-Type": "application/msgpack"}
        if secret:
            self._headers["X-Jan-Gateway-Secret"] = secret
        self._socket = url.removeprefix("unix:") if url.startswith("unix:") else None
        self._url = "http://sidecar" if self._socket else url.rstrip("/")
        self._client: httpx.AsyncClient | None = None

    async def ask(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        """Return the sidecar's answer to ``question``. Raises `SidecarAway`, which is logged."""
        try:
            return await self._ask(path, question)
        except SidecarAway as away:
            log.warning("the sidecar does not answer %s: %s", path, away)
            raise

    async def _ask(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._connected().post(
                    path, content=msgpack.packb(question), headers=self._headers
                )
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            raise SidecarAway(type(error).__name__) from error
        if response.status_code != 200:
            raise SidecarAway(f"status {response.status_code}")
        try:
            answer = msgpack.unpackb(response.content)
        except (ValueError, msgpack.UnpackException) as error:
            raise SidecarAway("it does not speak msgpack") from error
        if not isinstance(answer, dict):
            raise SidecarAway("it answers no map")
        return answer

    def _connected(self) -> httpx.AsyncClient:
        # Made on the loop that uses it, at the first question.
        if self._client is None:
            limits = httpx.Limits(
                max_connections=_MOST_CONNECTIONS,
                max_keepalive_connections=_MOST_CONNECTIONS,
                keepalive_expiry=30,
            )
            self._client = httpx.AsyncClient(
                base_url=self._url,
                timeout=self._timeout,
                transport=httpx.AsyncHTTPTransport(uds=self._socket, retries=1, limits=limits),
                trust_env=False,
            )
        return self._client
