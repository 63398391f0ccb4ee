"""Kong's schema language, as fields of dataclasses: one declaration serves Kong and us.

Kong checks kong.yml against the schema and fills in defaults.
"""

from dataclasses import MISSING, field, fields
from typing import Any, TypeVar

import msgspec

Field = dict[str, Any]
T = TypeVar("T")


class ConfigError(ValueError):
    """Names the wrong fields, and no value that may be secret."""


def string(says: str, *, default: str | None = None, **more: Any) -> Any:
    """Declare a text. Without a default it may be left out, unless it is ``required``."""
    return _declared("string", says, MISSING if more.get("required") else default, **more)


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
    """Declare a list of texts; ``element`` has the checks of each."""
    return _declared("array", says, default, elements={"type": "string", **element})


def records(says: str, of: type) -> Any:
    """Declare a list of records, which are of the dataclass ``of``."""
    return _declared("array", says, (), elements={"type": "record", "fields": schema_of(of)})


def record(says: str, of: type) -> Any:
    """Declare a record of the dataclass ``of``, which may be left out."""
    # Without required=False, Kong would fill in a record of defaults where none is set.
    return _declared("record", says, None, fields=schema_of(of), required=False)


def _declared(kind: str, says: str, default: Any, **more: Any) -> Any:
    declared = {"type": kind, **more, "description": says}
    if default is MISSING:
        return field(metadata=declared)
    if default is not None:
        stated = list(default) if isinstance(default, tuple) else default
        declared |= {"required": True, "default": stated}
    return field(default=default, metadata=declared)


def schema_of(kind: Any) -> list[Field]:
    """Return the fields of a dataclass in Kong's schema language."""
    return [{each.name: dict(each.metadata)} for each in fields(kind)]


def read_record(kind: type[T], given: dict[str, Any]) -> T:
    """Read what Kong sent as the dataclass ``kind``. Raises `ConfigError`.

    Kong has checked it, with the bounds of numbers; types are checked again.
    """
    try:
        return msgspec.convert(_out_of_lua({"fields": schema_of(kind)}, given), kind)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from None


def _out_of_lua(kind: Field, value: Any) -> Any:
    """Return ``value`` as it was in kong.yml: Lua has null for an unset field, ``{}`` for an
    empty list, and may turn 7 into 7.0."""
    if "fields" in kind and isinstance(value, dict):
        known = ((name, each) for one in kind["fields"] for name, each in one.items())
        return {
            name: _out_of_lua(each, value[name])
            for name, each in known
            if value.get(name) is not None
        }
    if "elements" in kind and isinstance(value, list | dict):
        return [_out_of_lua(kind["elements"], item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
