"""Lua tables as Python values, and back."""

from typing import Any

import lupa.luajit21 as luajit


def is_table(value: Any) -> bool:
    """Say whether a value is a Lua table."""
    return bool(luajit.lua_type(value) == "table")


def plain(value: Any) -> Any:
    """Return a value without Lua tables: lists for sequences, dicts for the rest."""
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if not is_table(value):
        return value
    items = dict(value.items())
    if all(at in items for at in range(1, len(items) + 1)):
        return [plain(items[at]) for at in range(1, len(items) + 1)]
    return {key: plain(inner) for key, inner in items.items()}
