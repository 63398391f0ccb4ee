"""How often one client address may ask for a guest token: a token bucket for each."""

import ipaddress
from collections import OrderedDict

MOST_ADDRESSES = 10_000


class LoginLimit:
    """Admits, per address, ``per_minute`` logins at once, then as many each minute; 0: all.

    Not shared between processes. Memory is bounded: when `MOST_ADDRESSES` are known, the one that
    asked least recently is forgotten. The addresses of an IPv6 /64 count as one, since one client
    usually has them all.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, as of when

    def wait(self, address: str, now: float) -> float:
        """Count one login; return 0 if it is admitted, else the seconds until one would be.

        ``now`` is in seconds of any clock that never goes back.
        """
        most, client = self._per_minute, _client(address)
        if most == 0:
            return 0.0
        tokens, since = self._buckets.pop(client, (float(most), now))
        tokens = min(most, tokens + max(0.0, now - since) * most / 60)
        admitted = tokens >= 1
        self._buckets[client] = (tokens - 1 if admitted else tokens, now)
        if len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        return 0.0 if admitted else (1 - tokens) * 60 / most


def _client(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)
