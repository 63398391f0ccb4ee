"""Kong's schemas: a list of one-key maps, one for each field that a record may have.

Lua plugins, external plugins and Kong's own entities all have schemas in this form, so one checker
serves them all. The error messages are Kong's.
"""

import copy
import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from devkong.config.yaml_lines import Place

Fields = Sequence[Mapping[str, Mapping[str, Any]]]
Report = Callable[[Place, str], None]

_REFERENCE = re.compile(r"\{vault://(?P<vault>[^/]+)/(?P<name>[^/}]+)(?:/(?P<key>[^}]+))?\}\Z")


class PluginSchema(NamedTuple):
    """The fields of a plugin's config. checks: the conditions that several fields must meet."""

    fields: Fields
    checks: Sequence[Mapping[str, Sequence[str]]] = ()


def schema_of(declared: Mapping[str, Any]) -> PluginSchema:
    """Return the schema of a plugin's config. Raises LookupError, TypeError."""
    config = next(entry["config"] for entry in declared["fields"] if "config" in entry)
    return PluginSchema(config.get("fields", []), declared.get("entity_checks", ()))


def process_config(schema: PluginSchema, value: Any, place: Place, report: Report) -> Any:
    """Check a plugin's config, report every error, and return it with its defaults filled in."""
    faults: list[tuple[Place, str]] = []
    config = process_record(schema.fields, value, place, lambda *fault: faults.append(fault))
    for fault in faults:
        report(*fault)
    for check in () if faults else schema.checks:
        for kind, names in check.items():
            given = [name for name in names if config.get(name.removeprefix("config."))]
            if kind == "only_one_of" and len(given) != 1:
                report(
                    (*place, ""), f"exactly one of these fields must be non-empty: {_quoted(names)}"
                )
            if kind == "at_least_one_of" and not given:
                report(
                    (*place, ""),
                    f"at least one of these fields must be non-empty: {_quoted(names)}",
                )
    return config


def process_record(fields: Fields, value: Any, place: Place, report: Report) -> dict[str, Any]:
    """Check a record, report every error, and return it with its defaults filled in."""
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

    References in referenceable fields become secrets; fields without a value are removed.
    """
    return {
        name: _resolve(field, value[name], environment)
        for name, field in _each(fields)
        if value.get(name) is not None
    }


def _each(fields: Fields) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for entry in fields:
        yield from entry.items()


def _process(name: str, field: Mapping[str, Any], value: Any, place: Place, report: Report) -> Any:
    if value is None:
        value = copy.deepcopy(field.get("default"))
        if value is None and field["type"] == "record" and field.get("required", True):
            value = {}  # Kong creates missing records, so that their defaults apply
        if value is None:
            if field.get("required"):
                report(place, f"{name}: required field missing")
            return None
    reference = _reference(field, value)
    if reference:
        if reference["vault"] != "env":
            report(place, f"{name}: devkong has only the env vault")
        return value
    expected, types = _TYPES[field["type"]]
    if not isinstance(value, types) or (isinstance(value, bool) and types is not bool):
        report(place, f"{name}: expected {expected}")
        return value
    if field["type"] == "integer" and value != int(value):
        report(place, f"{name}: expected {expected}")
    fault = _constraint_broken(field, value)
    if fault:
        report(place, f"{name}: {fault}")
    if field["type"] == "record":
        return process_record(field.get("fields", []), value, place, report)
    if field["type"] == "map":
        return {
            str(key): _process(str(key), field["values"], inner, (*place, str(key)), report)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [
            _process(name, field["elements"], element, (*place, at), report)
            for at, element in enumerate(value)
        ]
    return int(value) if field["type"] == "integer" else value


_TYPES: dict[str, tuple[str, Any]] = {
    "string": ("a string", str),
    "boolean": ("a boolean", bool),
    "number": ("a number", (int, float)),
    "integer": ("an integer", (int, float)),
    "array": ("an array", list),
    "set": ("a set", list),
    "map": ("a map", dict),
    "record": ("a record", dict),
    "foreign": ("a name, or a record with id or name", (str, dict)),
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
    if isinstance(value, str) and not value.startswith(field.get("starts_with", "")):
        return f"should start with: {field['starts_with']}"
    # A Python pattern, in devkong's own schemas. Only Kong checks Lua's `match`.
    if field.get("pattern") and not re.search(field["pattern"], value):
        return str(field["pattern_says"])
    return None


def _resolve(field: Mapping[str, Any], value: Any, environment: Mapping[str, str]) -> Any:
    reference = _reference(field, value)
    if reference:
        return _secret(reference, environment)
    kind = field["type"]
    if kind == "record":
        return resolve_references(field.get("fields", []), value, environment)
    if kind == "map":
        return {k: _resolve(field["values"], inner, environment) for k, inner in value.items()}
    if isinstance(value, list):
        return [_resolve(field["elements"], element, environment) for element in value]
    return value


def _reference(field: Mapping[str, Any], value: Any) -> "re.Match[str] | None":
    """Return the parts of a reference such as {vault://env/my-secret}, which means $MY_SECRET."""
    is_possible = field.get("referenceable") and isinstance(value, str)
    return _REFERENCE.match(value) if is_possible else None


def _secret(reference: "re.Match[str]", environment: Mapping[str, str]) -> str:
    """Return the secret, or "" if it is not set, as Kong does."""
    value = environment.get(reference["name"].upper().replace("-", "_"), "")
    if not reference["key"]:
        return value
    try:
        part = json.loads(value)[reference["key"]]
    except (ValueError, KeyError, TypeError):
        return ""
    return part if isinstance(part, str) else json.dumps(part)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {near[0]}?)" if near else ""
