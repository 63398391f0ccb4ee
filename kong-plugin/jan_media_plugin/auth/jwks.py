"""The keys of an issuer: the configured one, or those that it publishes (RFC 7517)."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
from jwt.algorithms import get_default_algorithms

from jan_media_plugin.answers import Unavailable
from jan_media_plugin.config import Issuer

log = logging.getLogger(__name__)

UNKNOWN_KEY_INTERVAL = 10.0  # seconds between two fetches that an unknown key id causes
RETRY_INTERVAL = 1.0  # seconds between two fetches while the issuer is unavailable
_MOST_BYTES = 1 << 20
_MOST_KEYS = 100
_AWAY = "The keys of the token's issuer cannot be fetched. Try again shortly."
_ALGORITHMS = get_default_algorithms()


class Key(NamedTuple):
    """A key and the one algorithm that it is used with here."""

    kid: str | None
    algorithm: str
    material: Any  # what PyJWT takes as a key for the algorithm


class Keys:
    """An issuer's keys. Those of a URL are fetched again after a while, and kept if that fails.

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
        self.issuer = issuer
        self._fresh = fresh
        self._stale = stale
        self._timeout = timeout
        self._clock = clock
        fixed = issuer.secret or issuer.public_key
        self._keys = [Key(None, name, fixed) for name in issuer.algorithms if fixed]
        self._fetched_at = float("inf" if fixed else "-inf")  # a configured key never gets old
        self._tried_at = self._sought_unknown_at = float("-inf")
        self._failed = False
        self._flight: asyncio.Task[None] | None = None
        self._client: httpx.AsyncClient | None = None

    async def find(self, kid: str | None, algorithm: str) -> list[Key]:
        """Return the keys that a token with this header may be signed with.

        Includes keys without an id; for a token without one, all keys. Raises `Unavailable`.
        """
        is_old = self._age() > self._fresh
        fetched = is_old and await self._fetch_again()
        if self._age() > self._fresh + self._stale:
            raise Unavailable(_AWAY)
        found = self._known(kid, algorithm)
        if not found and (fetched or self._may_seek_unknown()):
            self._sought_unknown_at = self._clock()
            if not fetched:
                await self._fetched()
                found = self._known(kid, algorithm)
        if not found and self._failed:
            raise Unavailable(_AWAY)  # the issuer may have published the key by now
        return found

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    def _known(self, kid: str | None, algorithm: str) -> list[Key]:
        return [
            key
            for key in self._keys
            if key.algorithm == algorithm and (kid is None or key.kid is None or key.kid == kid)
        ]

    def _may_seek_unknown(self) -> bool:
        since = self._clock() - self._sought_unknown_at
        return self._flight is not None or since >= UNKNOWN_KEY_INTERVAL

    async def _fetch_again(self) -> bool:
        """Wait for a fetch if one is due; return whether one was."""
        if self._flight is None and self._clock() - self._tried_at < RETRY_INTERVAL:
            return False
        fetched = self._fetched()
        if self._failed and self._age() <= self._fresh + self._stale:
            fetched.cancel()  # no need to wait for the issuer to fail again
            return False
        await fetched
        return True

    def _fetched(self) -> asyncio.Future[None]:
        """Start a fetch unless one is running. Cancelling the returned future does not stop it."""
        if self._flight is None:
            self._flight = asyncio.create_task(self._fetch())
        return asyncio.shield(self._flight)

    async def _fetch(self) -> None:
        self._tried_at = self._clock()
        try:
            async with asyncio.timeout(self._timeout):
                self._keys = await self._download()
            self._fetched_at, self._failed = self._clock(), False
        except Exception as error:  # a URL or a document may be wrong in any way
            self._failed = True
            why = type(error).__name__
            log.warning("the keys of issuer %s cannot be fetched: %s", self.issuer.issuer, why)
        finally:
            self._flight = None

    async def _download(self) -> list[Key]:
        url = self.issuer.jwks_url
        if url is None:
            discovery = await self._get(str(self.issuer.discovery_url))
            url = discovery.get("jwks_uri")
            if discovery.get("issuer") != self.issuer.issuer or not isinstance(url, str):
                raise ValueError("the discovery document is of another issuer")
            secure = str(self.issuer.discovery_url).startswith("https://")
            if not url.startswith("https://" if secure else ("https://", "http://")):
                raise ValueError("jwks_uri is not a URL as trustworthy as discovery_url")
        keys = (await self._get(url)).get("keys")
        if not isinstance(keys, list):
            raise ValueError("there are no keys")
        return [
            key
            for jwk in keys[:_MOST_KEYS]
            if isinstance(jwk, dict)
            for algorithm in self.issuer.algorithms
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

    A symmetric key never is: a published one is no secret, and no such algorithm is allowed.
    """
    method: Any = _ALGORITHMS[algorithm]
    public = {name: value for name, value in jwk.items() if name != "d"}
    try:
        signs = jwk.get("use", "sig") == "sig" and "verify" in jwk.get("key_ops", ["verify"])
        if not signs or jwk.get("alg", algorithm) != algorithm:
            return None
        material = method.prepare_key(method.from_jwk(public))
    except Exception:  # a parser may raise anything for a malformed key; the others still count
        return None
    kid = jwk.get("kid")
    return Key(kid if isinstance(kid, str) else None, algorithm, material)
