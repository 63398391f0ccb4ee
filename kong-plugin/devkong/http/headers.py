"""A list of header lines as bytes, with their order, spelling and duplicates kept."""

from collections.abc import Iterable, Iterator


class Headers:
    """Header lines, looked up by lower-case name."""

    __slots__ = ("_lines",)

    def __init__(self, lines: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._lines = [(name.lower(), name, value) for name, value in lines]

    def __iter__(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Yield each line: the lower-case name, the original name, the value."""
        return iter(self._lines)

    def get(self, lower: bytes) -> bytes | None:
        """Return the first value under a lower-case name."""
        return next((value for key, _, value in self._lines if key == lower), None)

    def get_all(self, lower: bytes) -> list[bytes]:
        """Return every value under a lower-case name, in order."""
        return [value for key, _, value in self._lines if key == lower]

    def add(self, name: bytes, value: bytes) -> None:
        """Append a line."""
        self._lines.append((name.lower(), name, value))

    def set(self, name: bytes, values: Iterable[bytes]) -> None:
        """Replace every line of this name; the first keeps its position, as in nginx."""
        lower = name.lower()
        place = next((i for i, line in enumerate(self._lines) if line[0] == lower), None)
        kept = [line for line in self._lines if line[0] != lower]
        place = len(kept) if place is None else place
        self._lines = kept[:place] + [(lower, name, value) for value in values] + kept[place:]

    def remove(self, name: bytes) -> None:
        """Drop every line of this name."""
        self.set(name, ())

    def as_table(self, most: int) -> dict[bytes, bytes | list[bytes]]:
        """Return the first lines by lower-case name; several values of a name are a list."""
        table: dict[bytes, list[bytes]] = {}
        for lower, _, value in self._lines[:most]:
            table.setdefault(lower, []).append(value)
        return {name: many if len(many) > 1 else many[0] for name, many in table.items()}


def comma_list(value: bytes) -> list[bytes]:
    """Split a comma-separated header value into lower-case words."""
    return [word.strip().lower() for word in value.split(b",") if word.strip()]
