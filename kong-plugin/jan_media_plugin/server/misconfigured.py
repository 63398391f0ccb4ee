"""What takes the place of a plugin instance that could not start, and what the log says of it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from jan_media_plugin.server import refusal

_SHORTEST_SECRET = 4


class Misconfigured:
    """Stands in for a plugin whose configuration it could not take: refuses in every phase."""

    def __init__(self, config: object) -> None:
        pass

    def __getattr__(self, phase: str) -> Callable[[Any], None]:
        return _refuse


def _refuse(kong: Any) -> None:
    kong.response.exit(*refusal.MISCONFIGURED["Args"])


def reason(failure: Exception, config: object) -> str:
    """Return the failure's own words, less every value of ``config`` (JSON text) they quote.

    Configuration holds secrets, and a message that names a field may quote what is in it.
    """
    words = f"{type(failure).__name__}: {failure}"
    if not isinstance(config, str):
        return type(failure).__name__
    try:
        values = set(_strings(json.loads(config)))
    except ValueError:
        return "it is not JSON"
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _SHORTEST_SECRET:
            words = words.replace(value, "…")
    return words


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
