"""Kong's schemas: a list of one-key maps that says which fields a record may have.

Bundled plugins, external plugins (from their dump) and Kong's own entities are all described in
this form, so one checker serves them all.
"""

import copy
import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from devkong.config import vault
from devkong.config.yaml_lines import Place

Fields = list[dict[str, dict[str, Any]]]
Report = Callable[[Place, str], None]


def process_record(fields: Fields, value: Any, place: Place, report: Report) -> dict[str, Any]:
    """Check a record, report every fault, and return it with its defaults filled in."""
    if not isinstance(value, dict):
        report(place, "expected a record")
        return {}
    known = dict(_each(fields))
    for name in value:
        if name not in known:
            report((*place, str(name)), f"{name}: unknown field{_nearest(str(name), known)}")
    return {
        name: _process(name, field, value.get(name), (*place, name), report)
        for name, field in known.items()
    }


def resolve_references(fields: Fields, value: Any, environment: Mapping[str, str]) -> Any:
    """Return a processed record as a running plugin sees it.

    References in referenceable fields become secrets, and fields without a value are gone.
    """
    return {
        name: _resolve(field, value[name], environment)
        for name, field in _each(fields)
        if value.get(name) is not None
    }


def _each(fields: Fields) -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in fields:
        yield from entry.items()


def _process(name: str, field: Mapping[str, Any], value: Any, place: Place, report: Report) -> Any:
    if value is None:
        value = copy.deepcopy(field.get("default"))
        if value is None and field["type"] == "record" and field.get("required"):
            value = {}
        if value is None:
            if field.get("required"):
                report(place, f"{name}: required field missing")
            return None
    if field.get("referenceable") and vault.is_reference(value):
        if vault.vault_of(value) != "env":
            report(place, f"{name}: devkong has the env vault only")
        return value
    if not _has_type(field["type"], value):
        report(place, f"{name}: expected {_A[field['type']]}")
        return value
    fault = _constraint_broken(field, value)
    if fault:
        report(place, f"{name}: {fault}")
    return _process_inside(name, field, value, place, report)


def _process_inside(
    name: str, field: Mapping[str, Any], value: Any, place: Place, report: Report
) -> Any:
    kind = field["type"]
    if kind == "record":
        return process_record(field.get("fields", []), value, place, report)
    if kind in ("array", "set") and "elements" in field:
        return [
            _process(name, field["elements"], element, (*place, at), report)
            for at, element in enumerate(value)
        ]
    if kind == "map" and "values" in field:
        return {
            str(key): _process(str(key), field["values"], inner, (*place, str(key)), report)
            for key, inner in value.items()
        }
    if kind == "integer":
        return int(value)
    return value


def _has_type(kind: str, value: Any) -> bool:
    if kind in ("number", "integer"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return kind == "number" or value == int(value)
    return isinstance(value, _PYTHON[kind])


_PYTHON: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "array": list,
    "set": list,
    "map": dict,
    "record": dict,
    "json": (dict, list, str),
    "foreign": (str, dict),
}
_A = {
    "string": "a string",
    "boolean": "a boolean",
    "number": "a number",
    "integer": "an integer",
    "array": "an array",
    "set": "a set",
    "map": "a map",
    "record": "a record",
    "json": "a JSON value",
    "foreign": "a name, or a record with id or name",
}


def _constraint_broken(field: Mapping[str, Any], value: Any) -> str | None:
    one_of, between, above = field.get("one_of"), field.get("between"), field.get("gt")
    if one_of is not None and value not in one_of:
        return "expected one of: " + ", ".join(map(str, one_of))
    if between is not None and not between[0] <= value <= between[1]:
        return f"value should be between {between[0]} and {between[1]}"
    if above is not None and not value > above:
        return f"value must be greater than {above}"
    if hasattr(value, "__len__"):
        shortest = field.get("len_min", 1 if field["type"] == "string" else 0)
        if len(value) < shortest:
            return f"length must be at least {shortest}"
        if len(value) > field.get("len_max", len(value)):
            return f"length must be at most {field['len_max']}"
    if field["type"] == "string":
        return _string_broken(field, value)
    return None


def _string_broken(field: Mapping[str, Any], value: str) -> str | None:
    if field.get("starts_with") and not value.startswith(field["starts_with"]):
        return f"should start with: {field['starts_with']}"
    # a Python pattern: only devkong's own schemas have it; Lua's match is for Kong to check
    if field.get("pattern") and not re.search(field["pattern"], value):
        return str(field.get("pattern_says", f"invalid value: {value}"))
    return None


def _resolve(field: Mapping[str, Any], value: Any, environment: Mapping[str, str]) -> Any:
    if field.get("referenceable") and vault.is_reference(value):
        return vault.resolve(value, environment)
    kind = field["type"]
    if kind == "record" and isinstance(value, dict):
        return resolve_references(field.get("fields", []), value, environment)
    if kind in ("array", "set") and "elements" in field:
        return [_resolve(field["elements"], element, environment) for element in value]
    if kind == "map" and "values" in field:
        return {k: _resolve(field["values"], inner, environment) for k, inner in value.items()}
    return value


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {near[0]}?)" if near else ""
