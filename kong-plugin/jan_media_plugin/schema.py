"""Kong's schema language, as fields of dataclasses: each is declared once, for Kong and for us.

Kong checks kong.yml against the schema and fills in defaults. What it sends is read robustly: Lua
drops nulls, writes an empty list as ``{}``, and may make 7.0 of 7.
"""

from dataclasses import MISSING, field, fields
from typing import Any, TypeVar, cast

Field = dict[str, Any]
T = TypeVar("T")


def string(says: str, *, default: str | None = None, **more: Any) -> Any:
    """Declare a text. Without a default it may be left out, unless it is ``required``."""
    kind = {"type": "string", **more}
    if default is not None:
        kind |= {"required": True, "default": default}
    if kind.get("required") and default is None:
        return field(metadata={**kind, "description": says})
    return field(default=default, metadata={**kind, "description": says})


def secret(says: str) -> Any:
    """Declare a text in which Kong resolves {vault://…}, and which it neither stores nor shows."""
    return string(says, referenceable=True, encrypted=True)


def integer(says: str, default: int | None, low: int, high: int) -> Any:
    """Declare a whole number and its bounds. With None for a default it may be left out."""
    return _declared("integer", says, default, between=[low, high])


def boolean(says: str, default: bool | None) -> Any:
    """Declare a truth value. With None for a default it may be left out."""
    return _declared("boolean", says, default)


def choice(says: str, *options: str) -> Any:
    """Declare one of several words; the first is the default."""
    return _declared("string", says, options[0], one_of=list(options))


def strings(says: str, *default: str, **element: Any) -> Any:
    """Declare a list of texts; ``element`` is what holds for each."""
    elements = {"type": "string", **element}
    kind = {"type": "array", "required": True, "default": list(default), "elements": elements}
    return field(default=default, metadata={**kind, "description": says})


def records(says: str, of: type) -> Any:
    """Declare a list of records, which are of the dataclass ``of``."""
    elements = {"type": "record", "fields": schema_of(of)}
    kind = {"type": "array", "required": True, "default": [], "elements": elements}
    return field(default=(), metadata={**kind, "description": says, "of": of})


def record(says: str, of: type) -> Any:
    """Declare a record of the dataclass ``of``, which may be left out."""
    kind = {"type": "record", "fields": schema_of(of)}
    return field(default=None, metadata={**kind, "description": says, "of": of})


def _declared(kind: str, says: str, default: Any, **more: Any) -> Any:
    declared = {"type": kind, **more, "description": says}
    if default is not None:
        declared |= {"required": True, "default": default}
    return field(default=default, metadata=declared)


def schema_of(kind: Any) -> list[Field]:
    """Return the fields of a dataclass in Kong's schema language."""
    return [
        {each.name: {key: value for key, value in each.metadata.items() if key != "of"}}
        for each in fields(kind)
    ]


def read_record(kind: type[T], given: object, where: str, problems: list[str]) -> T | None:
    """Return what Kong sent for the dataclass ``kind``; None, and why in ``problems``, if wrong."""
    source = given if isinstance(given, dict) else {}
    if source is not given and given != []:
        problems.append(f"{where or 'config'} must be a record")
    before = len(problems)
    values = {}
    for each in fields(kind):  # type: ignore[arg-type]
        value = source.get(each.name)
        if value is not None:
            values[each.name] = _read(each.metadata, value, where + each.name, problems)
        elif each.default is MISSING:
            problems.append(f"{where}{each.name} is required")
    return kind(**values) if len(problems) == before else None


def _read(kind: Any, value: object, where: str, problems: list[str]) -> Any:
    match kind["type"]:
        case "array":
            items = [] if value == {} else value
            if not isinstance(items, list | tuple):
                problems.append(f"{where} must be a list")
                return ()
            named = [(f"{where}[{at}]", item) for at, item in enumerate(items)]
            if "of" in kind:
                return tuple(
                    read_record(kind["of"], item, f"{at}.", problems) for at, item in named
                )
            return tuple(_read(kind["elements"], item, at, problems) for at, item in named)
        case "record":
            return read_record(kind["of"], value, f"{where}.", problems)
        case "boolean":
            right = isinstance(value, bool)
        case "integer":
            right = isinstance(value, int | float) and not isinstance(value, bool)
            right = right and int(cast(float, value)) == value
            value = int(cast(float, value)) if right else value
        case _:
            right = isinstance(value, str)
    if not right:
        problems.append(f"{where} must be of type {kind['type']}")
    elif "one_of" in kind and value not in kind["one_of"]:
        problems.append(f"{where} must be one of {', '.join(kind['one_of'])}")
    elif "between" in kind:
        low, high = kind["between"]
        if not low <= cast(int, value) <= high:
            problems.append(f"{where} must be between {low} and {high}")
    return value
