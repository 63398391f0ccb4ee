"""Reads YAML and records the line of each value."""

from pathlib import Path
from typing import Any, NamedTuple

import yaml

Place = tuple[str | int, ...]


class Document(NamedTuple):
    """A file's value, and the line on which each part begins."""

    name: str
    value: Any
    lines: dict[Place, int]

    def line(self, place: Place) -> int:
        """Return the line of a place, or of the nearest enclosing place that has one."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


class NotYaml(Exception):
    """The file is not YAML; the message has the line."""


def read(path: Path) -> Document:
    """Read a file. Raises NotYaml, OSError."""
    name = str(path)
    loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
    lines: dict[Place, int] = {}
    try:
        root = loader.get_single_node()
        if root is None:
            return Document(name, None, lines)
        _note(root, (), lines)
        return Document(name, loader.construct_document(root), lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise NotYaml(f"{name}:{line}: {error.problem}") from error
    finally:
        loader.dispose()


def _note(node: yaml.Node, place: Place, lines: dict[Place, int]) -> None:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            lines[inner] = key.start_mark.line + 1
            _note(value, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for at, value in enumerate(node.value):
            _note(value, (*place, at), lines)
