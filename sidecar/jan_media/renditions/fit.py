"""The limits of a model for a picture, as a route of the gateway gives them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

WRITABLE = ("image/jpeg", "image/png", "image/webp", "image/gif")
"""The types that renditions can have."""
_SMALLEST = 16  # pixels of an edge, and of a picture


@dataclass(frozen=True, slots=True)
class Fit:
    """Limits; None means no limit, and no types mean any type."""

    types: tuple[str, ...] = ()
    max_bytes: int | None = None
    max_edge: int | None = None  # pixels of the longer side
    max_pixels: int | None = None  # width times height
    strip_metadata: bool = False

    @classmethod
    def parse(cls, asked: Mapping[str, Any]) -> "Fit":
        """Parse a message of the plugin. Raises `ValueError`, which names what is wrong."""
        types = asked.get("types") or []
        if not isinstance(types, list) or not all(isinstance(name, str) for name in types):
            raise ValueError("fit.types must be a list of media types")
        numbers: dict[str, int | None] = {}
        for name in ("max_bytes", "max_edge", "max_pixels"):
            value = asked.get(name)
            if value is not None and (type(value) is not int or value < _SMALLEST):
                raise ValueError(f"fit.{name} must be a number of at least {_SMALLEST}")
            numbers[name] = value
        if not isinstance(asked.get("strip_metadata", False), bool):
            raise ValueError("fit.strip_metadata must be true or false")
        return cls(
            types=tuple(sorted({name.lower() for name in types})),
            strip_metadata=asked.get("strip_metadata", False),
            **numbers,
        )

    @property
    def key(self) -> str:
        """The name of these limits, under which a rendition is stored."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]
