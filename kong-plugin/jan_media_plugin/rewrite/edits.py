"""Edits: which bytes of a body are replaced by what."""

from collections.abc import Sequence
from json.encoder import encode_basestring_ascii
from typing import NamedTuple


class Edit(NamedTuple):
    """Replace ``body[start:end]``, the inside of a JSON string, by ``replacement``."""

    start: int
    end: int
    replacement: str  # escaped for JSON, ASCII


def to_inside_of_string(text: str) -> str:
    """Return ``text`` as it stands between the quotes of a JSON string, in ASCII."""
    return encode_basestring_ascii(text)[1:-1]


def apply_edits(body: bytes, edits: Sequence[Edit]) -> bytes:
    """Return ``body`` with ``edits`` (in rising order) made."""
    pieces = []
    kept = 0
    for edit in edits:
        pieces += [body[kept : edit.start], edit.replacement.encode()]
        kept = edit.end
    return b"".join([*pieces, body[kept:]])


def for_lua(edits: Sequence[Edit]) -> list[list[int | str]]:
    """Return edits as in_kong.lua takes them: first and last position, both inclusive, from 1."""
    return [[edit.start + 1, edit.end, edit.replacement] for edit in edits]
