"""API keys (``sk_…``), which the sidecar verifies."""

import hashlib
import time
from collections.abc import Callable, Sequence

import msgspec

from jan_media_plugin.answers import invalid_token
from jan_media_plugin.auth.caller import Caller, groups_of, is_subject
from jan_media_plugin.bounded_cache import BoundedCache
from jan_media_plugin.resolve.sidecar import Sidecar
from jan_media_plugin.single_flight import SingleFlight

_REMEMBERED_KEYS = 10_000
_MOST_SECONDS_REFUSED = 5.0  # a key that was just created should work soon


class _Verified(msgspec.Struct):
    """The sidecar's answer about a key; if the key is invalid, the other fields are empty."""

    valid: bool
    user_id: str = ""
    groups: list[str] | None = None
    expires_at: float | None = None


class ApiKeys:
    """Checks keys; caches an answer for ``cache_seconds``, a refusal for a few seconds at most.

    Keys are cached by their hash.
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

    async def check(self, key: str) -> Caller:
        """Return whose key it is. Raises `Refused`: 401, or 503 if the sidecar is unavailable."""
        digest = _digest(key)
        caller = self._good.get(digest)
        if caller is None and not self._bad.get(digest):
            caller = (await self._asking.get([key]))[key]
        if caller is None:
            raise invalid_token(
                "The API key is unknown, revoked or has expired.", "invalid_api_key"
            )
        return caller

    async def _ask(self, keys: Sequence[str]) -> dict[str, Caller | None]:
        (key,) = keys  # a request has one
        asked_at = self._now()
        answer = await self._sidecar.ask("/internal/keys/verify", {"key": key}, _Verified)
        if not answer.valid or not is_subject(answer.user_id):
            lifetime = min(self._cache_seconds, _MOST_SECONDS_REFUSED)
            self._bad.put(_digest(key), True, lifetime)
            return {key: None}
        caller = Caller(answer.user_id, "", groups_of(answer.groups))
        # Counted from the question: a revocation may have come while the answer was on its way.
        lifetime = self._cache_seconds - (self._now() - asked_at)
        if answer.expires_at is not None:
            lifetime = min(lifetime, answer.expires_at - self._now())
        self._good.put(_digest(key), caller, lifetime)
        return {key: caller}


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
