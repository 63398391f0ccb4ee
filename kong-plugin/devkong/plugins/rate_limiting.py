"""rate-limiting, with the counters in this process (policy local)."""

import itertools
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from devkong.config.plugin_schema import PluginSchema
from devkong.exchange import Exchange
from devkong.pdk import response
from devkong.pdk.request import get_path

NAME = "rate-limiting"
PRIORITY = 910

# seconds in a window, as Kong counts them
_WINDOWS = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86400,
    "month": 2592000,
    "year": 31536000,
}


def _check(config: dict[str, Any]) -> Iterable[tuple[str, str]]:
    limits = [(period, config[period]) for period in _WINDOWS if config[period] is not None]
    if not limits:
        yield "second", "at least one of these fields: " + ", ".join(_WINDOWS)
    for (lower, least), (upper, most) in itertools.pairwise(limits):
        if most < least:
            yield upper, f"the limit for {upper} cannot be lower than the limit for {lower}"
    if config["limit_by"] == "header" and not config["header_name"]:
        yield "header_name", "required field missing"
    if config["limit_by"] == "path" and not config["path"]:
        yield "path", "required field missing"
    if config["policy"] != "local":
        yield "policy", "devkong counts in its own process only: policy local"


SCHEMA = PluginSchema(
    [
        *({period: {"type": "number", "gt": 0}} for period in _WINDOWS),
        {
            "limit_by": {
                "type": "string",
                "default": "consumer",
                "one_of": ["consumer", "credential", "ip", "service", "header", "path"],
            }
        },
        {"header_name": {"type": "string"}},
        {"path": {"type": "string", "starts_with": "/"}},
        {"policy": {"type": "string", "default": "local", "one_of": ["local", "redis"]}},
        {"fault_tolerant": {"type": "boolean", "required": True, "default": True}},
        {"hide_client_headers": {"type": "boolean", "required": True, "default": False}},
        {"error_code": {"type": "number", "default": 429, "gt": 0}},
        {"error_message": {"type": "string", "default": "API rate limit exceeded"}},
        {"sync_rate": {"type": "number", "required": True, "default": -1}},
    ],
    _check,
)

_Key = tuple[str | None, str | None, bytes, str, int]


class Counters:
    """How many requests each window has seen."""

    def __init__(self) -> None:
        self._seen: dict[_Key, int] = {}
        self._sweep_at = 0.0

    def get(self, key: _Key) -> int:
        """Return a window's count."""
        return self._seen.get(key, 0)

    def add(self, key: _Key, now: float) -> None:
        """Count one request."""
        if now > self._sweep_at:
            self._sweep_at = now + 60
            self._seen = {k: n for k, n in self._seen.items() if k[4] + _WINDOWS[k[3]] > now}
        self._seen[key] = self._seen.get(key, 0) + 1


_counters = Counters()


def access(exchange: Exchange, config: dict[str, Any]) -> None:
    """Count the request, or answer 429."""
    now = time.time()
    identifier = _identifier(exchange, config)
    keys: dict[str, _Key] = {
        period: (
            config.get("route_id"),
            config.get("service_id"),
            identifier,
            period,
            _window_start(period, now),
        )
        for period in _WINDOWS
        if config.get(period) is not None
    }
    remaining = {period: config[period] - _counters.get(key) for period, key in keys.items()}
    stop = next((period for period in reversed(keys) if remaining[period] <= 0), None)
    if not config["hide_client_headers"]:
        _set_headers(exchange, config, keys, remaining, stop, now)
    if stop:
        response.error(exchange, config["error_code"], config["error_message"].encode())
    for key in keys.values():
        _counters.add(key, now)


def _set_headers(
    exchange: Exchange,
    config: dict[str, Any],
    keys: dict[str, _Key],
    remaining: dict[str, float],
    stop: str | None,
    now: float,
) -> None:
    tightest: tuple[float, int, float, int] | None = None
    for period, key in keys.items():
        limit, window = config[period], _WINDOWS[period]
        left = max(0, remaining[period] - (1 if stop in (None, period) else 0))
        reset = max(1, window - int(now - key[4]))
        if tightest is None or (left, -window) < tightest[:2]:
            tightest = (left, -window, limit, reset)
        name = period.capitalize().encode()
        _set(exchange, b"X-RateLimit-Limit-" + name, limit)
        _set(exchange, b"X-RateLimit-Remaining-" + name, left)
    assert tightest is not None
    _set(exchange, b"RateLimit-Limit", tightest[2])
    _set(exchange, b"RateLimit-Remaining", tightest[0])
    _set(exchange, b"RateLimit-Reset", tightest[3])
    if stop:
        _set(exchange, b"Retry-After", tightest[3])


def _identifier(exchange: Exchange, config: dict[str, Any]) -> bytes:
    limit_by, found = config["limit_by"], None
    if limit_by == "service":
        found = exchange.service.id.encode() if exchange.service else None
    elif limit_by == "consumer":
        found = _id(exchange.consumer if exchange.consumer is not None else exchange.credential)
    elif limit_by == "credential":
        found = _id(exchange.credential)
    elif limit_by == "header":
        found = exchange.header(config["header_name"].encode())
    elif limit_by == "path" and get_path(exchange) == config["path"].encode():
        found = config["path"].encode()
    return found or exchange.remote_addr


def _id(table: Any) -> bytes | None:
    value = table.get(b"id") if isinstance(table, dict) else None
    return value if value is None or isinstance(value, bytes) else repr(value).encode()


def _window_start(period: str, now: float) -> int:
    if period in ("month", "year"):
        day = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0)
        return int((day.replace(month=1) if period == "year" else day).timestamp())
    return int(now // _WINDOWS[period] * _WINDOWS[period])


def _set(exchange: Exchange, name: bytes, value: float) -> None:
    response.set_header(exchange, name, value)
