"""The dimensions of a WebP file, from its first chunk (RFC 9649)."""

from typing import Protocol


class _Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...


def dimensions(source: _Reader) -> tuple[int, int]:
    """Width and height in pixels. Raises `ValueError` if this is no WebP header."""
    head = source.read(30)
    if len(head) < 25 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        raise ValueError("not a WebP file")
    chunk, data = head[12:16], head[20:]
    if chunk == b"VP8X" and len(data) == 10:
        return 1 + _number(data[4:7]), 1 + _number(data[7:10])
    if chunk == b"VP8L" and data[0] == 0x2F:
        bits = _number(data[1:5])
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    # A key frame's tag has a zero as its lowest bit; its start code follows.
    if chunk == b"VP8 " and len(data) == 10 and not data[0] & 1 and data[3:6] == b"\x9d\x01\x2a":
        return _number(data[6:8]) & 0x3FFF, _number(data[8:10]) & 0x3FFF
    raise ValueError("not a WebP image")


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, "little")
