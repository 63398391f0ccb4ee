"""The public keys of an issuer that publishes them (RFC 7517), fetched and kept."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
from jwt.algorithms import get_default_algorithms

from jan_media_plugin.config import Issuer

log = logging.getLogger(__name__)

UNKNOWN_KEY_INTERVAL = 10.0  # seconds from one fetch for a key id that nobody knew to the next
RETRY_INTERVAL = 1.0  # seconds between two fetches while the issuer is away
_MOST_BYTES = 1 << 20
_MOST_KEYS = 100
_ALGORITHMS = get_default_algorithms()


@dataclass(frozen=True, slots=True)
class Key:
    """A key and the one algorithm that it is used with here."""

    kid: str | None
    algorithm: str
    material: Any  # what PyJWT takes as a key for the algorithm


class IssuerAway(Exception):
    """The issuer's keys are not known, or too old, and cannot be fetched."""


class Keys(Protocol):
    """The keys of one issuer."""

    async def find(self, kid: str | None, algorithm: str) -> list[Key]:
        """Return the keys that a token with this header may be signed with.

        Raises `IssuerAway` when that cannot be said.
        """


class FixedKeys:
    """The one key of an issuer whose secret or public key is configured; it has no id."""

    def __init__(self, material: str, algorithms: Sequence[str]) -> None:
        self._keys = {algorithm: [Key(None, algorithm, material)] for algorithm in algorithms}

    async def find(self, kid: str | None, algorithm: str) -> list[Key]:
        """Return the key, whatever ``kid`` says."""
        return self._keys.get(algorithm, [])


class PublishedKeys:
    """Keys behind a URL: fresh for a while, then fetched again, and kept while that fails.

    An unknown key id causes a fetch, at most one in `UNKNOWN_KEY_INTERVAL`; fetches for other
    reasons do not count, so that a new key is found at once. Concurrent callers share one fetch,
    and none waits for longer than ``timeout`` seconds.
    """

    def __init__(
        self,
        issuer: Issuer,
        *,
        fresh: float,
        stale: float,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._fresh = fresh
        self._stale = stale
        self._timeout = timeout
        self._clock = clock
        self._keys: list[Key] | None = None
        self._fetched_at = 0.0
        self._tried_at = -1e9
        self._sought_unknown_at = -1e9
        self._failed = False
        self._flight: asyncio.Task[None] | None = None
        self._client: httpx.AsyncClient | None = None

    async def find(self, kid: str | None, algorithm: str) -> list[Key]:
        """Return the keys of that id; those without an id count, and all for a token without."""
        fetched = await self._freshen()
        found = self._known(kid, algorithm)
        if not found and (fetched or self._may_seek_unknown()):
            self._sought_unknown_at = self._clock()
            if not fetched:
                await self._fetch_once()
                found = self._known(kid, algorithm)
        if not found and self._failed:
            raise IssuerAway  # which may have published the key by now
        return found

    def _known(self, kid: str | None, algorithm: str) -> list[Key]:
        return [
            key
            for key in self._keys or ()
            if key.algorithm == algorithm and (kid is None or key.kid is None or key.kid == kid)
        ]

    async def _freshen(self) -> bool:
        """Return whether the keys have been fetched meanwhile."""
        if self._age() <= self._fresh:
            return False
        awaited = False
        if self._flight is not None or self._clock() - self._tried_at >= RETRY_INTERVAL:
            fetching = self._fetch_once()
            # While the issuer is known to be away, nobody waits to hear it again.
            if self._failed and self._usable():
                fetching.cancel()
            else:
                await fetching
                awaited = True
        if not self._usable():
            raise IssuerAway
        return awaited

    def _may_seek_unknown(self) -> bool:
        since = self._clock() - self._sought_unknown_at
        return self._flight is not None or since >= UNKNOWN_KEY_INTERVAL

    def _age(self) -> float:
        return float("inf") if self._keys is None else self._clock() - self._fetched_at

    def _usable(self) -> bool:
        return self._age() <= self._fresh + self._stale

    def _fetch_once(self) -> asyncio.Future[None]:
        """Start a fetch unless one is under way; what is returned may be cancelled alone."""
        if self._flight is None:
            self._flight = asyncio.get_running_loop().create_task(self._fetch())
        return asyncio.shield(self._flight)

    async def _fetch(self) -> None:
        self._tried_at = self._clock()
        try:
            async with asyncio.timeout(self._timeout):
                self._keys = await self._download()
            self._fetched_at = self._clock()
            self._failed = False
        except Exception as error:  # a URL or a document may be wrong in any way
            self._failed = True
            log.warning(
                "the keys of issuer %s cannot be fetched: %s",
                self._issuer.issuer,
                type(error).__name__,
            )
        finally:
            self._flight = None

    async def _download(self) -> list[Key]:
        url = self._issuer.jwks_url
        if url is None:
            discovery = await self._get(str(self._issuer.discovery_url))
            url = discovery.get("jwks_uri")
            if discovery.get("issuer") != self._issuer.issuer or not isinstance(url, str):
                raise ValueError("the discovery document is of another issuer")
            secure = str(self._issuer.discovery_url).startswith("https://")
            if not url.startswith("https://" if secure else ("https://", "http://")):
                raise ValueError("jwks_uri is not a URL as trustworthy as discovery_url")
        keys = (await self._get(url)).get("keys")
        if not isinstance(keys, list):
            raise ValueError("there are no keys")
        return [
            key
            for jwk in keys[:_MOST_KEYS]
            if isinstance(jwk, dict)
            for algorithm in self._issuer.algorithms
            if (key := _usable_key(jwk, algorithm)) is not None
        ]

    async def _get(self, url: str) -> dict[str, Any]:
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=self._timeout)
        body = b""
        async with self._client.stream(
            "GET", url, headers={"Accept": "application/json"}
        ) as answer:
            if answer.status_code != 200:
                raise ValueError(f"status {answer.status_code}")
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > _MOST_BYTES:
                    raise ValueError(f"more than {_MOST_BYTES} bytes")
        document = json.loads(body)
        if not isinstance(document, dict):
            raise ValueError("not a JSON object")
        return document


def _usable_key(jwk: dict[str, Any], algorithm: str) -> Key | None:
    """The key for ``algorithm``, if it is a public signing key of that kind.

    A symmetric key is never one: published, it is no secret.
    """
    try:
        return _public_key(jwk, algorithm)
    except Exception:  # whatever a parser makes of an odd key: the others still count
        return None


def _public_key(jwk: dict[str, Any], algorithm: str) -> Key | None:
    family = {"E": "EC", "R": "RSA", "P": "RSA"}.get(algorithm[0])
    kind = "OKP" if algorithm == "EdDSA" else family
    if jwk.get("kty") != kind or jwk.get("use", "sig") != "sig":
        return None
    if jwk.get("alg", algorithm) != algorithm or "verify" not in jwk.get("key_ops", ["verify"]):
        return None
    kid = jwk.get("kid")
    public = {name: value for name, value in jwk.items() if name != "d"}
    method: Any = _ALGORITHMS[algorithm]
    material = method.prepare_key(method.from_jwk(public))
    return Key(kid if isinstance(kid, str) else None, algorithm, material)
