"""Counters in Prometheus' text format (version 0.0.4), summed over the workers.

A scrape gets whichever worker takes the connection, so each leaves its counts in a file of a folder
that all share, and answers with the sum. What the others have counted since they last published
comes a second later. The file of a worker that has ended stays: a counter never goes back.
"""

import bisect
import json
from collections.abc import Mapping
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


class Metrics:
    """What requests did and how long they took."""

    def __init__(self) -> None:
        self._published: Path | None = None
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

    def share(self, file: Path) -> None:
        """Publish in ``file``, which is this worker's own, beside those of the others."""
        self._published = file

    def publish(self) -> None:
        """Let the other workers see what has been counted. Blocking."""
        if self._published is not None:
            fresh = self._published.with_suffix(".new")
            fresh.write_text(json.dumps([[*self._requests.items()], self._buckets, self._seconds]))
            fresh.rename(self._published)

    def of_all_workers(self) -> "Metrics":
        """The sum of this worker's counts and what the others have published. Blocking."""
        total = Metrics()
        total._add([*self._requests.items()], self._buckets, self._seconds)
        if self._published is not None:
            for file in self._published.parent.glob(f"*{self._published.suffix}"):
                if file != self._published:
                    total._add(*json.loads(file.read_text()))
        return total

    def _add(
        self,
        requests: list[tuple[tuple[str, str, int], int]],
        buckets: Mapping[str, list[int]],
        seconds: Mapping[str, float],
    ) -> None:
        for key, count in requests:
            route, method, status = key
            self._requests[route, method, status] = (
                self._requests.get((route, method, status), 0) + count
            )
        for route, counts in buckets.items():
            had = self._buckets.get(route, [0] * len(counts))
            self._buckets[route] = [old + new for old, new in zip(had, counts, strict=True)]
        for route, spent in seconds.items():
            self._seconds[route] = self._seconds.get(route, 0.0) + spent

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
