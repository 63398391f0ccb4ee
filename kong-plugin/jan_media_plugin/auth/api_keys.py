"""API keys (``sk_…``): the sidecar says whose they are."""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from jan_media_plugin.answers import invalid_token, unavailable
from jan_media_plugin.auth.caller import Caller, groups_of, is_subject
from jan_media_plugin.bounded_cache import BoundedCache
from jan_media_plugin.resolve.sidecar import Sidecar, SidecarAway
from jan_media_plugin.single_flight import SingleFlight

_REMEMBERED_KEYS = 10_000
_MOST_SECONDS_REFUSED = 5.0  # a key that has just been made should work soon


class ApiKeys:
    """Checks keys; believes an answer for ``cache_seconds``, a refusal for a few seconds at most.

    Keys are remembered by their hash.
    """

    def __init__(
        self, sidecar: Sidecar, cache_seconds: float, now: Callable[[], float] = time.time
    ) -> None:
        self._sidecar = sidecar
        self._cache_seconds = cache_seconds
        self._now = now
        self._good: BoundedCache[bytes, Caller] = BoundedCache(_REMEMBERED_KEYS)
        self._bad: BoundedCache[bytes, bool] = BoundedCache(_REMEMBERED_KEYS)
        self._asking: SingleFlight[str, Caller | None] = SingleFlight(self._ask)

    def remembered(self, key: str) -> Caller | None:
        """Return the caller of a key that the sidecar vouched for a short while ago."""
        return self._good.get(_digest(key))

    async def check(self, key: str) -> Caller:
        """Return whose key it is. Raises `Refused`: 401, or 503 when the sidecar is away."""
        caller = None
        if not self._bad.get(_digest(key)):
            try:
                caller = (await self._asking.get([key]))[key]
            except SidecarAway:
                raise unavailable("API keys cannot be checked at the moment. Try again.") from None
        if caller is None:
            raise invalid_token(
                "The API key is unknown, revoked or has expired.", "invalid_api_key"
            )
        return caller

    async def _ask(self, keys: Sequence[str]) -> dict[str, Caller | None]:
        return {key: await self._verify(key) for key in keys}

    async def _verify(self, key: str) -> Caller | None:
        asked_at = self._now()
        answer = await self._sidecar.ask("/internal/keys/verify", {"key": key})
        caller = _caller(answer)
        if caller is None:
            lifetime = min(self._cache_seconds, _MOST_SECONDS_REFUSED)
            self._bad.put(_digest(key), True, lifetime)
            return None
        expires_at = answer.get("expires_at")
        # From when it was asked: a revocation may have come while the answer was on its way.
        lifetime = self._cache_seconds - (self._now() - asked_at)
        if expires_at is not None:
            lifetime = min(lifetime, float(expires_at) - self._now())
        self._good.put(_digest(key), caller, lifetime)
        return caller


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _caller(answer: dict[str, Any]) -> Caller | None:
    if answer.get("valid") is not True:
        return None
    subject = answer.get("user_id")
    if not is_subject(subject):
        raise SidecarAway("it names no user")
    return Caller(str(subject), "", groups_of(answer.get("groups")))
