"""A list of header lines as bytes: order, spelling and duplicates stay as they came."""

from collections.abc import Iterable, Iterator


class Headers:
    """Header lines, looked up by lower-case name."""

    __slots__ = ("_lines",)

    def __init__(self, lines: Iterable[tuple[bytes, bytes, bytes]] = ()) -> None:
        # (lower-case name, name as spelt, value)
        self._lines = list(lines)

    def __iter__(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def get(self, lower: bytes) -> bytes | None:
        """Return the first value under a lower-case name."""
        for key, _, value in self._lines:
            if key == lower:
                return value
        return None

    def get_all(self, lower: bytes) -> list[bytes]:
        """Return every value under a lower-case name, in order."""
        return [value for key, _, value in self._lines if key == lower]

    def add(self, name: bytes, value: bytes) -> None:
        """Append a line."""
        self._lines.append((name.lower(), name, value))

    def set(self, name: bytes, values: Iterable[bytes]) -> None:
        """Replace every line of this name; the first keeps its place, as nginx does it."""
        lower = name.lower()
        place = next((i for i, line in enumerate(self._lines) if line[0] == lower), None)
        lines = [(lower, name, value) for value in values]
        if place is None:
            self._lines.extend(lines)
            return
        kept = [line for line in self._lines if line[0] != lower]
        self._lines = kept[:place] + lines + kept[place:]

    def remove(self, name: bytes) -> None:
        """Drop every line of this name."""
        lower = name.lower()
        self._lines = [line for line in self._lines if line[0] != lower]

    def as_table(self, most: int) -> dict[bytes, bytes | list[bytes]]:
        """Return what ngx.req.get_headers() gives: lower-case names, lists for duplicates.

        most: how many lines are looked at, 0 for all.
        """
        table: dict[bytes, bytes | list[bytes]] = {}
        for lower, _, value in self._lines[:most] if most else self._lines:
            present = table.get(lower)
            if present is None:
                table[lower] = value
            elif isinstance(present, list):
                present.append(value)
            else:
                table[lower] = [present, value]
        return table


def comma_list(value: bytes) -> list[bytes]:
    """Split a comma-separated header value into lower-case words."""
    return [word.strip().lower() for word in value.split(b",") if word.strip()]
