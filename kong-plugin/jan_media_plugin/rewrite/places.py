"""The places in a body where media goes, as an operator writes them.

A place such as ``messages[].content[].image_url.url`` or, shorter, ``image_url.url`` matches the
tail of the keys that lead to a string; brackets are for the reader, array positions do not count.
"""

import json
import re
from collections.abc import Sequence

Keys = tuple[str, ...]

_REMEMBERED_PATHS = 1024
_PLAIN = re.compile(r"[A-Za-z0-9_.:$@-]+")  # JSON has one other spelling of these: as escapes
_LONGEST_REMEMBERED = 256  # letters of all keys: a client's invention must not fill the memory


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
        self._lengths = sorted({len(tail) for tail in self.tails})
        self.never = frozenset(map(parse_place, never))
        self.barriers = sorted({part[-1] for part in self.never})
        self.barrier = _colon_after(self.barriers)
        """Matches the colon between one of ``barriers`` and an object or array, the number of its
        group says which. Without a group it may be any. None if the keys have many spellings."""
        self._remembered: dict[Keys, bool] = {}

    def have(self, keys: Keys) -> bool:
        """Whether a string to which ``keys`` lead from the root stands at a place of media."""
        answer = self._remembered.get(keys)
        if answer is None:
            answer = self._match(keys)
            if sum(map(len, keys)) <= _LONGEST_REMEMBERED:
                if len(self._remembered) >= _REMEMBERED_PATHS:
                    self._remembered.clear()
                self._remembered[keys] = answer
        return answer

    def _match(self, keys: Keys) -> bool:
        # An element of an array stands where the array does.
        if not any(keys[-length:] in self.tails for length in self._lengths):
            return False
        return not any(_contains(keys[:-1], part) for part in self.never)


def _colon_after(keys: Sequence[str]) -> re.Pattern[bytes] | None:
    if not all(map(_PLAIN.fullmatch, keys)):
        return None
    # It begins with the colon, which is a fourth of the quotes and so a fourth of the work.
    after = [*(rf'(?<="({re.escape(key)})":)' for key in keys), r"(?<=[ \t\n\r]:)"]
    return re.compile(rf":(?=[ \t\n\r]*+[\[{{])(?:{'|'.join(after)})".encode())


def _contains(keys: Keys, part: Keys) -> bool:
    width = len(part)
    return any(keys[at : at + width] == part for at in range(len(keys) - width + 1))
