"""Inputs taken apart."""


def leading(data: bytes, count: int) -> tuple[bytes, bytes]:
    """The first ``count`` bytes, zeros in the place of what is missing, and the rest."""
    return data[:count].ljust(count, b"\0"), data[count:]


def in_pieces(whole: bytes, size: int) -> list[bytes]:
    """The same bytes as they may arrive: ``size`` at a time."""
    return [whole[at : at + size] for at in range(0, len(whole), size)]
