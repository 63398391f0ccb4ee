"""The sidecar's internal listener: msgpack over kept-alive HTTP, on TCP or a Unix socket.

The plugin's only network seam besides the issuers' keys.
"""

import asyncio
import logging
from typing import Any

import msgpack

from jan_media_plugin.resolve.http import HttpServer

log = logging.getLogger(__name__)

_MOST_CONNECTIONS = 64


class SidecarAway(Exception):
    """The sidecar cannot be reached, is too slow, or answers something else than it should."""


class Sidecar:
    """One sidecar. ``url`` is http(s)://host:port or unix:/path; ``timeout`` is in seconds."""

    def __init__(self, url: str, secret: str | None, timeout: float) -> None:
        self._timeout = timeout
        headers = {"Content-Type": "application/msgpack"}
        if secret:
            headers["X-Jan-Gateway-Secret"] = secret
        self._server = HttpServer(url, headers, connections=_MOST_CONNECTIONS)

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
                said = await self._server.post(path, msgpack.packb(question))
        except OSError as error:  # TimeoutError is one
            raise SidecarAway(type(error).__name__) from error
        if said.status != 200:
            raise SidecarAway(f"status {said.status}")
        try:
            answer = msgpack.unpackb(said.body)
        except (ValueError, msgpack.UnpackException) as error:
            raise SidecarAway("it does not speak msgpack") from error
        if not isinstance(answer, dict):
            raise SidecarAway("it answers no map")
        return answer
