"""References to secrets: {vault://env/my-secret} stands for $MY_SECRET."""

import json
import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\{vault://(?P<vault>[^/]+)/(?P<name>[^/}]+)(?:/(?P<key>[^}]+))?\}\Z")


def is_reference(value: object) -> bool:
    """Say whether a value stands for a secret."""
    return isinstance(value, str) and _REFERENCE.match(value) is not None


def vault_of(reference: str) -> str:
    """Return the vault's name."""
    match = _REFERENCE.match(reference)
    return match["vault"] if match else ""


def resolve(reference: str, environment: Mapping[str, str]) -> str:
    """Return the secret, or "" when it is not set, as Kong does."""
    match = _REFERENCE.match(reference)
    if not match or match["vault"] != "env":
        return ""
    value = environment.get(match["name"].upper().replace("-", "_"), "")
    if not match["key"]:
        return value
    try:
        part = json.loads(value)[match["key"]]
    except (ValueError, KeyError, TypeError):
        return ""
    return part if isinstance(part, str) else json.dumps(part)
