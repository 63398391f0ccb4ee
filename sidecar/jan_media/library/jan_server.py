"""Reads the media of jan-server's media-api as a library of ours, so that `move` can import them.

It has one table in PostgreSQL, ``media_api.media_objects``, with a row for each id, and one bucket.
Its ids are of our form, and its contents are hashed by SHA-256 too. Source:
https://github.com/janhq/jan-server, services/media-api, ``MediaObject``.

Nothing is written there, so it may go on serving.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg

from jan_media.catalog.interface import CatalogUnavailable, Claim, Media, State
from jan_media.catalog.transfer import Record
from jan_media.content.allowed_types import AllowedTypes
from jan_media.library.move import Readable
from jan_media.storage.s3 import S3Storage

_NOBODY = "jan-server"  # owns the media for which the table names no user

# Ids in our canonical form, and sorted as such. Without an end they get the default retention.
_LIVE = """
    SELECT lower(id), storage_key, split_part(mime_type, ';', 1), bytes, sha256,
           coalesce(created_by, ''), (extract(epoch FROM created_at) * 1000)::bigint, until_ms
    FROM media_api.media_objects, LATERAL (
        SELECT (extract(epoch FROM coalesce(retention_until, created_at + interval '30 days'))
                * 1000)::bigint AS until_ms) AS ends
    WHERE lower(id) ~ '^jan_[0-7][0-9a-hjkmnp-tv-z]{25}$' AND until_ms > %(now)s
"""


class MediaObjects(Readable):
    """The table. Times are Unix milliseconds; every method raises `CatalogUnavailable`."""

    def __init__(self, url: str, *, issuer: str, takes: AllowedTypes) -> None:
        """``url`` is PostgreSQL's. Owners are users of ``issuer``; types in ``takes`` come along.

        Raises `CatalogUnavailable`.
        """
        self._issuer = issuer
        self._takes = takes
        self.left_out = set[str]()
        """Ids of types that are not taken."""
        with _unavailable():
            self._db = psycopg.connect(url, autocommit=True, connect_timeout=10)
            self._db.execute("SET default_transaction_read_only = on")

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def count(self) -> int:
        """How many ids there are, about."""
        ((count,),) = self._rows("SELECT count(*) FROM media_api.media_objects", {})
        return int(count)

    def ids_after(self, id: str, *, now: int, limit: int) -> list[str]:
        rows = self._rows(
            _LIVE
            + """ AND lower(id) COLLATE "C" > %(id)s
            ORDER BY lower(id) COLLATE "C" LIMIT %(limit)s""",
            {"id": id, "now": now, "limit": limit},
        )
        return [str(row[0]) for row in rows]

    def records(self, ids: Sequence[str], *, now: int) -> dict[str, Record]:
        """As `Transfer.records`; without what is not taken."""
        rows = self._rows(_LIVE + " AND lower(id) = ANY(%(ids)s)", {"ids": list(ids), "now": now})
        found = dict[str, Record]()
        for id, key, mime, size, sha256, user, created_at, expires_at in rows:
            if not self._takes.admits(mime.lower()):
                self.left_out.add(id)
                continue
            media = Media(
                id, State.READY, mime.lower(), size, sha256.lower(), key, created_at, expires_at
            )
            owner = f"{self._issuer}|{user or _NOBODY}"
            found[id] = Record(media, (Claim(owner, created_at),), place=0)
        return found

    def _rows(self, query: LiteralString, values: dict[str, object]) -> list[tuple[Any, ...]]:
        with _unavailable():
            return self._db.execute(query, values).fetchall()


class Bucket(S3Storage):
    """The bucket. Its keys have file extensions, so not all of them are valid keys of ours."""

    def _key(self, key: str) -> str:
        return key


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.UndefinedTable:
        raise ValueError("there is no table media_api.media_objects in that database") from None
    except psycopg.Error as error:
        raise CatalogUnavailable(" ".join(str(error).split())) from None
