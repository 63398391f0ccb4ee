"""The places in a body where media goes, as an operator writes them.

A place such as ``messages[].content[].image_url.url`` or, shorter, ``image_url.url`` matches the
last keys on the way to a string. Brackets are only for the reader; array positions do not count.
The key before the last may be the ``type`` of the object instead: ``input_file.file_id`` is the
``file_id`` of an object with ``"type": "input_file"`` too.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

Keys = tuple[str, ...]


class Way(NamedTuple):
    """The path from the root to a value."""

    up: "Way | None"
    step: str | int | None  # the last key or array position; None at the root
    keys: Keys  # the last keys, as many as the longest place has
    is_below_never: bool

    def spelled(self) -> str:
        """Return the path as text, such as ``messages[0].content[1].image_url.url``."""
        way: Way | None = self
        steps = []
        while way is not None and way.step is not None:
            steps.append(f"[{way.step}]" if isinstance(way.step, int) else f".{way.step}")
            way = way.up
        return "".join(reversed(steps)).removeprefix(".")


class Places:
    """``where`` lists the places of media; everything below one of ``never`` is left unchanged."""

    def __init__(self, where: Sequence[str], never: Sequence[str]) -> None:
        self._where = frozenset(map(parse_place, where))
        self._never = frozenset(map(parse_place, never))
        self._last_keys = frozenset(place[-1] for place in self._where)
        self._longest = max(map(len, self._where | self._never), default=0)
        self.root = Way(None, None, (), is_below_never=False)

    def further(self, way: Way, step: str | int) -> Way:
        """Return the way to a member or an element of the value at ``way``."""
        if isinstance(step, int):
            return Way(way, step, way.keys, way.is_below_never)
        keys = (*way.keys, step)[-self._longest :]
        below = way.is_below_never or _ends_with_any(way.keys, self._never)
        return Way(way, step, keys, below)

    def have(self, way: Way, holder_type: Any) -> bool:
        """Whether the string at ``way`` is at a place of media.

        ``holder_type`` is the ``type`` of the object that holds it. An element of an array has the
        place of the array.
        """
        if way.is_below_never or not way.keys or way.keys[-1] not in self._last_keys:
            return False
        by_type = (*way.keys[:-1], holder_type, way.keys[-1])
        return _ends_with_any(way.keys, self._where) or _ends_with_any(by_type, self._where)


def parse_place(text: str) -> Keys:
    """Return the keys of a place. Raises ValueError if one is empty."""
    keys = tuple(text.replace("[]", "").split("."))
    if not all(keys):
        raise ValueError(f"{text!r} is not a path of keys such as image_url.url")
    return keys


def _ends_with_any(keys: Sequence[Any], some: Iterable[Keys]) -> bool:
    return any(keys[-len(part) :] == part for part in some)
