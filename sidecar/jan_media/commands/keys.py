"""``jan-media keys``: create, list and revoke API keys."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from operator import itemgetter
from typing import Annotated, Any

import typer

from jan_media.catalog.interface import ApiKey
from jan_media.commands.entry import fail, milliseconds, opened_library
from jan_media.commands.terminal import AsJson, print_json, print_results
from jan_media.identity.api_keys import PREFIX_LENGTH, make_key

keys = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)


@keys.command("create")
def create_key(
    owner: Annotated[str, typer.Option(help="Whom the key stands for.")],
    group: Annotated[list[str] | None, typer.Option(help="A group to grant; repeatable.")] = None,
    expires_in: Annotated[str, typer.Option(help="As in 30d; never by default.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown this once."""
    lifetime = milliseconds(expires_in)
    with opened_library() as library:
        now = library.clock()
        expires_at = None if lifetime is None else now + lifetime
        text, key = make_key(library.catalog, owner, group or [], now=now, expires_at=expires_at)
    if as_json:
        print_json({"key": text, **_described(key, now)})
        return
    print(text)
    print(f"id {key.id}; store the key now, it cannot be shown again", file=sys.stderr)


@keys.command("list")
def list_keys(
    prefix: Annotated[str, typer.Option(help="Only keys that begin like this.")] = "",
    owner: Annotated[str, typer.Option(help="Only keys of this owner.")] = "",
    as_json: AsJson = False,
) -> None:
    """List keys, oldest first. What is kept of a key is its beginning and its hash."""
    begins = prefix[:PREFIX_LENGTH]  # no more is kept; so a whole key finds its entry, too
    with opened_library() as library:
        kept = library.catalog.list_api_keys(prefix=begins, owner=owner)
        described = [_described(key, library.clock()) for key in kept]
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "ID": itemgetter("id"),
        "BEGINS": lambda key: f"{key['begins']}…",
        "OWNER": itemgetter("owner"),
        "GROUPS": lambda key: ",".join(key["groups"]) or "-",
        "STATE": itemgetter("state"),
        "EXPIRES": lambda key: key["expires_at"] or "never",
    }
    print_results(described, columns, as_json=as_json)


@keys.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="The ID that list shows.")]) -> None:
    """Revoke a key. Gateways stop honouring it once their cache of it runs out."""
    with opened_library() as library:
        if not library.catalog.revoke_api_key(key_id, now=library.clock()):
            fail(f"there is no key {key_id}, or it was revoked before")
    print(f"revoked {key_id}")


def _described(key: ApiKey, now: int) -> dict[str, Any]:
    expires_at = None
    if key.expires_at is not None:
        expires_at = f"{datetime.fromtimestamp(key.expires_at / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return {
        "id": key.id,
        "begins": key.prefix,
        "owner": key.owner,
        "groups": list(key.groups),
        "state": key.state(now),
        "expires_at": expires_at,
    }
