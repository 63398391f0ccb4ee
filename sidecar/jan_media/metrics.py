"""Counters in Prometheus' text format (version 0.0.4), for one process.

With several workers each answers for itself; a scrape gets whichever takes the connection.
"""

import bisect
from collections.abc import Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


class Metrics:
    """What requests did and how long they took."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, int], int] = {}
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request. ``route`` is a path template, so that labels stay few."""
        key = (route, method, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        buckets = self._buckets.setdefault(route, [0] * (len(_BOUNDS) + 1))
        buckets[bisect.bisect_left(_BOUNDS, seconds)] += 1
        self._seconds[route] = self._seconds.get(route, 0.0) + seconds

    def text(self, gauges: Mapping[str, int]) -> str:
        """Everything counted so far, and ``gauges`` as they are now."""
        lines = ["# TYPE jan_media_requests_total counter"]
        for (route, method, status), count in sorted(self._requests.items()):
            labels = f'route="{route}",method="{method}",status="{status}"'
            lines.append(f"jan_media_requests_total{{{labels}}} {count}")
        lines.append("# TYPE jan_media_request_seconds histogram")
        for route, buckets in sorted(self._buckets.items()):
            lines += self._histogram(route, buckets)
        for name, value in gauges.items():
            lines += [f"# TYPE jan_media_{name} gauge", f"jan_media_{name} {value}"]
        return "\n".join(lines) + "\n"

    def _histogram(self, route: str, buckets: list[int]) -> list[str]:
        name = "jan_media_request_seconds"
        lines, total = [], 0
        for bound, count in zip((*map(str, _BOUNDS), "+Inf"), buckets, strict=True):
            total += count
            lines.append(f'{name}_bucket{{route="{route}",le="{bound}"}} {total}')
        lines.append(f'{name}_sum{{route="{route}"}} {self._seconds[route]:.6f}')
        lines.append(f'{name}_count{{route="{route}"}} {total}')
        return lines
