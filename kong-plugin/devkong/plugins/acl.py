"""acl: only callers of the allowed groups pass."""

import itertools
from collections.abc import Iterable
from typing import Any

from devkong.config.plugin_schema import PluginSchema
from devkong.exchange import Exchange
from devkong.lua.tables import plain
from devkong.pdk import response
from devkong.pdk.service_request import set_header

NAME = "acl"
PRIORITY = 950


def _check(config: dict[str, Any]) -> Iterable[tuple[str, str]]:
    if (config["allow"] is None) == (config["deny"] is None):
        yield "allow", "exactly one of these fields must be set: allow, deny"


_GROUPS = {"type": "array", "elements": {"type": "string"}}
SCHEMA = PluginSchema(
    [
        {"allow": _GROUPS},
        {"deny": _GROUPS},
        {"hide_groups_header": {"type": "boolean", "required": True, "default": False}},
        {
            "always_use_authenticated_groups": {
                "type": "boolean",
                "required": True,
                "default": False,
            }
        },
    ],
    _check,
)


def access(exchange: Exchange, config: dict[str, Any]) -> None:
    """Let pass, or answer 401 (nothing is known of the caller) or 403 (wrong groups)."""
    consumer_id = _field(exchange.consumer, b"id") or _field(exchange.credential, b"consumer_id")
    credential = exchange.credential
    groups = None
    header = b"X-Authenticated-Groups"
    if consumer_id is None or credential is None or config["always_use_authenticated_groups"]:
        groups = authenticated_groups(exchange)
    denies = bool(config.get("deny"))
    if groups is None:
        # devkong's consumers have no groups of their own
        header = b"X-Consumer-Groups"
        if consumer_id is None or not denies:
            if credential is not None:
                response.error(exchange, 403, b"You cannot consume this service")
            response.error(exchange, 401)
        groups = []
    listed = config["deny"] if denies else config.get("allow", [])
    in_group = any(group.encode() in groups for group in listed)
    if in_group == denies:
        response.error(exchange, 403, b"You cannot consume this service")
    if not config["hide_groups_header"]:
        set_header(exchange, header, b", ".join(groups))


def authenticated_groups(exchange: Exchange) -> list[bytes] | None:
    """Return what an auth plugin has left in kong.ctx.shared, or in ngx.ctx."""
    groups = plain(exchange.shared.get(b"authenticated_groups"))
    if not isinstance(groups, list | dict):
        groups = plain(exchange.ngx_ctx.get(b"authenticated_groups"))
    if isinstance(groups, dict):  # of a table that is not all sequence, the sequence counts
        groups = [groups[at] for at in itertools.takewhile(groups.__contains__, itertools.count(1))]
    if isinstance(groups, list):
        return [group for group in groups if isinstance(group, bytes)]
    return None


def _field(table: Any, name: bytes) -> Any:
    return table.get(name) if isinstance(table, dict) else None
