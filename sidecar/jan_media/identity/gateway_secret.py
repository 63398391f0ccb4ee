"""The secret that the gateway sends to the sidecar with every request."""

import hmac


class GatewaySecret:
    """The current secret and, during a rotation, the one before it."""

    def __init__(self, current: str, previous: str = "") -> None:
        """Empty strings stand for "none"."""
        self._secrets = [_bytes(secret) for secret in (current, previous) if secret]

    @property
    def configured(self) -> bool:
        """Whether there is a secret; without one, `admits` is never true."""
        return bool(self._secrets)

    def admits(self, presented: str | None) -> bool:
        """Whether ``presented`` is one of the secrets, compared in constant time."""
        shown = _bytes(presented or "")
        matches = [hmac.compare_digest(shown, secret) for secret in self._secrets]
        return any(matches)


def _bytes(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogatepass")
