"""Storage of API keys, in the same databases as the catalog but independent of it."""

import json
from dataclasses import asdict

from jan_media.catalog.database import Database, Row, Transaction, transaction
from jan_media.catalog.interface import ApiKey

_API_KEY = """
    SELECT id, prefix, key_hash, owner, group_names, created_at, expires_at, revoked_at
    FROM api_keys
"""


class ApiKeys(Database):
    """API keys, found by their hash."""

    @transaction
    def add_api_key(self, tx: Transaction, key: ApiKey) -> None:
        """Store a new key. Raises `ValueError` if its id or hash is there already."""
        row = asdict(key)
        row["group_names"] = json.dumps(row.pop("groups"))
        if not tx.insert_new("api_keys", **row):
            raise ValueError(f"there is an API key with the id {key.id} or the same hash already")

    def find_api_key(self, key_hash: str) -> ApiKey | None:
        """The key of that hash, revoked and expired ones included."""
        found = self._rows(f"{_API_KEY} WHERE key_hash = ?", key_hash)
        return _to_api_key(found[0]) if found else None

    def list_api_keys(self, *, prefix: str = "", owner: str = "") -> list[ApiKey]:
        """Keys by creation time, filtered by the start of their prefix and by owner."""
        sql = (
            f"{_API_KEY} WHERE substr(prefix, 1, ?) = ? AND ? IN ('', owner)"
            " ORDER BY created_at, id"
        )
        return [_to_api_key(row) for row in self._rows(sql, len(prefix), prefix, owner)]

    @transaction
    def revoke_api_key(self, tx: Transaction, id: str, *, now: int) -> bool:
        """Revoke a key by its handle; False if there is none or it was revoked before."""
        sql = "UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL"
        return tx.change(sql, now, id) == 1


def _to_api_key(row: Row) -> ApiKey:
    id, prefix, key_hash, owner, groups, *times = row
    return ApiKey(id, prefix, key_hash, owner, tuple(json.loads(groups)), *times)
