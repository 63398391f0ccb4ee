"""The places in a body where media goes, as an operator writes them.

A place such as ``messages[].content[].image_url.url`` or, shorter, ``image_url.url`` matches the
tail of the keys that lead to a string; brackets are for the reader, array positions do not count.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Keys = tuple[str, ...]

_PLAIN = re.compile(r"[A-Za-z0-9_.:$@-]+")  # JSON has one other spelling of these: as escapes


class Way(NamedTuple):
    """What counts of the keys that lead from the root to a value."""

    keys: Keys  # the last ones, as many as the longest place has
    is_below_never: bool


def parse_place(text: str) -> Keys:
    """Return the keys of a place. Raises ValueError if one is empty."""
    keys = tuple(text.replace("[]", "").split("."))
    if not all(keys):
        raise ValueError(f"{text!r} is not a path of keys such as image_url.url")
    return keys


def unescaped(spelled: bytes) -> str:
    """Return the text of a well-formed JSON string from the bytes between its quotes."""
    if b"\\" in spelled:
        text: str = json.loads(b'"%b"' % spelled)
        return text
    return spelled.decode()


class Places:
    """``where`` lists the places of media; whatever is below one of ``never`` is left alone."""

    def __init__(self, where: Sequence[str], never: Sequence[str]) -> None:
        self.tails = frozenset(map(parse_place, where))
        self.ends_of_tails = frozenset(
            tail[at:] for tail in self.tails for at in range(1, len(tail))
        )
        """What is less than a tail, and might become one with more keys before it."""
        self.never = frozenset(map(parse_place, never))
        self.barriers = sorted({part[-1] for part in self.never})
        self.barrier = _colon_after(self.barriers)
        """Matches the colon between one of ``barriers`` and an object or array, the number of its
        group says which. Without a group it may be any. None if the keys have many spellings."""
        self._longest = max(map(len, self.tails | self.never), default=0)
        self.root = Way((), is_below_never=False)

    def further(self, way: Way, key: str) -> Way:
        """Return the way to the member ``key`` of the object at the end of ``way``."""
        keys = (*way.keys, key)[-self._longest :]
        return Way(keys, way.is_below_never or _ends_with_any(way.keys, self.never))

    def have(self, way: Way) -> bool:
        """Whether a string to which this way leads stands at a place of media.

        An element of an array stands where the array does.
        """
        return not way.is_below_never and _ends_with_any(way.keys, self.tails)


def _colon_after(keys: Sequence[str]) -> re.Pattern[bytes] | None:
    if not all(map(_PLAIN.fullmatch, keys)):
        return None
    # It begins with the colon, which is a fourth of the quotes and so a fourth of the work. Those
    # in texts are behind no quote or an escaped one, mostly: then the keys are not tried.
    is_key = r"(?<=[\" \t\n\r]:)(?<!\\\":)"
    after = [*(rf'(?<="({re.escape(key)})":)' for key in keys), r"(?<=[ \t\n\r]:)"]
    return re.compile(rf":(?=[ \t\n\r]*+[\[{{]){is_key}(?:{'|'.join(after)})".encode())


def _ends_with_any(keys: Keys, some: Iterable[Keys]) -> bool:
    return any(keys[-len(part) :] == part for part in some)
